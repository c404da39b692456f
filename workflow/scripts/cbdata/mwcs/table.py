"""The weights of a schedule over steps, as CSV for a trainer that weights per step and as a plot
for people.
"""

from __future__ import annotations

import csv
import io
from pathlib import Path

from cbdata.atomic_file import write_atomic
from cbdata.mwcs.schedule import Schedule

PLOT_POINTS = 2000
"""Steps that a plot draws at most; every phase border is among them."""


def table_bytes(schedule: Schedule, last_step: int) -> bytes:
    """CSV with a row per step 0..last_step (both included).

    Columns: ``step``, ``phase``, a weight per class that the schedule names (sorted),
    ``default_weight`` for all others. Weights are written so that they read back as the same float.
    """
    classes = sorted(schedule.weights(0))
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["step", "phase", *classes, "default_weight"])
    for step in range(last_step + 1):
        weights = schedule.weights(step)
        writer.writerow(
            [
                step,
                schedule.phase_at(step),
                *(repr(weights[name]) for name in classes),
                repr(schedule.default_weight),
            ]
        )
    return text.getvalue().encode()


def write_table(schedule: Schedule, last_step: int, path: str | Path) -> None:
    """Write ``table_bytes`` to a file.

    Args:
        schedule: The schedule.
        last_step: The last step of the table, which begins at 0; included.
        path: The file to write.
    """
    write_atomic(path, table_bytes(schedule, last_step))


def plot_steps(schedule: Schedule, last_step: int, points: int = PLOT_POINTS) -> list[int]:
    """The steps of 0..last_step that are drawn: about evenly spaced, and both sides of every phase
    border.

    Args:
        schedule: The schedule to draw.
        last_step: The last step.
        points: How many steps are drawn at most beside those at the borders.
    """
    stride = max(1, -(-(last_step + 1) // points))
    borders = {
        step
        for phase in schedule.phases
        for step in (phase.start - 1, phase.start, phase.end - 1, phase.end)
    }
    return sorted(
        {
            *range(0, last_step + 1, stride),
            last_step,
            *(step for step in borders if 0 <= step <= last_step),
        }
    )


def write_plot(schedule: Schedule, last_step: int, path: str | Path) -> None:
    """Write a PNG: one line per class over the steps (classes of equal weights share one), phases
    shaded and named.

    Args:
        schedule: The schedule to draw.
        last_step: The last step on the axis, which begins at 0.
        path: The file to write.
    """
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    steps = plot_steps(schedule, last_step)
    weights = [schedule.weights(step) for step in steps]
    figure, axes = pyplot.subplots(figsize=(9, 4.5), layout="constrained")
    for index, phase in enumerate(schedule.phases):
        if schedule.moves and phase.start <= last_step:
            axes.axvspan(
                phase.start,
                min(phase.end, last_step),
                alpha=0.08 + 0.08 * (index % 2),
                color="gray",
                linewidth=0,
            )
            axes.text(
                phase.start,
                1.01,
                _plain(phase.name),
                transform=axes.get_xaxis_transform(),
                fontsize=8,
            )
    curves: dict[tuple[float, ...], list[str]] = {}
    for name in sorted(weights[0]):
        curves.setdefault(tuple(at[name] for at in weights), []).append(_plain(name))
    for curve, names in curves.items():
        axes.plot(steps, curve, label="\n".join(names))
    axes.set(
        xlabel="training step", ylabel="class weight", xlim=(0, max(last_step, 1)), ylim=(0, None)
    )
    axes.set_title(_plain(schedule.name), pad=18)
    axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), fontsize=8, frameon=False)
    picture = io.BytesIO()
    figure.savefig(picture, format="png", dpi=120, metadata={"Software": None})
    pyplot.close(figure)
    write_atomic(path, picture.getvalue())


def _plain(text: str) -> str:
    """Text without mathtext, which a dollar sign would start."""
    return text.replace("$", r"\$")
