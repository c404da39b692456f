"""The figure of a curriculum: the weight of every class over the training steps."""

from __future__ import annotations

from collections.abc import Sequence

from cbdata.mwcs.mixture import mixture_shares
from cbdata.mwcs.schedule import Schedule
from cbdata.mwcs.table import plot_steps
from cbdata.report.chart import Curve, Figure, Table, percent, share
from cbdata.report.classes import ClassTally
from cbdata.report.roles import common_role, group_legend
from cbdata.report.tally import SHOWN

POINTS = 120


def curriculum(schedule: Schedule | None, step: int, total: ClassTally) -> Figure | None:
    """Show the class weights of a schedule over its steps; None without a curriculum.

    Args:
        schedule: The schedule of the run.
        step: The step at which the run took its weights.
        total: The counts of all data sets.
    """
    if schedule is None or not schedule.moves:
        return None
    last = max(schedule.phases[-1].end, step)
    steps = plot_steps(schedule, last, POINTS)
    weights = {at: schedule.weights(at) for at in {*steps, step}}
    present = [name for (name,), _ in total.roles if name not in schedule.classes]
    names = [*schedule.classes, *sorted(present)][:SHOWN]
    default = schedule.default_weight
    full = max([*(max(found.values(), default=0) for found in weights.values()), default]) or 1.0
    mixture = {
        name: {"traces": float(roles.total()), "weight": float(roles.total())}
        for (name,), roles in total.roles
    }
    shares = mixture_shares(mixture, weights[step], default)
    rows: list[Sequence[str]] = []
    drawn: list[Curve] = []
    for name in names:
        line = [weights[at].get(name, default) for at in steps]
        own = shares.get(name)
        rows.append(
            (
                name,
                f"{line[0]:g}",
                f"{weights[step].get(name, default):g}",
                f"{line[-1]:g}",
                f"{total.roles_of(name).total():,}",
                percent(own["share_after"], 1) if own else "-",
            )
        )
        drawn.append(
            Curve(
                tuple(
                    (share(at, last), share(value, full))
                    for at, value in zip(steps, line, strict=True)
                ),
                common_role(total.roles_of(name)),
                share(step, last),
            )
        )
    phases = ", ".join(
        f"{phase.name} [{phase.start:,}, {phase.end:,})" for phase in schedule.phases
    )
    return Figure(
        "curriculum",
        f"Curriculum {schedule.name}",
        f"Class weights over the steps 0 to {last:,}, from 0 at the bottom to {full:g} at the top."
        f" Phases: {phases}. The shares count every trace as one.",
        Table(
            ("class", "at 0", f"at {step:,}", f"at {last:,}", "traces", f"share at {step:,}"),
            rows,
            drawn=drawn,
            drawn_head=f"weight, steps 0 to {last:,}",
        ),
        group_legend(total.roles_of(name) for name in names),
        f"the step of this run, {step:,}",
    )
