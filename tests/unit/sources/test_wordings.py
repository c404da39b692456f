"""Which words mean one task."""

from __future__ import annotations

import json
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from cbdata.sources.splits import query_key
from cbdata.sources.wordings import REMEMBERED, Task, Wordings, goal_key, oldest, table
from tests.unit.held_memory import held_for_each


def test_the_table_has_all_of_agentdojo_and_no_words_twice() -> None:
    """97 user tasks and 35 goals, as the benchmark counts them; 18 and 11 are worded in two ways
    that differ in more than case, punctuation and spacing.
    """
    keys = {name: {query_key(text) for text in texts} for name, texts in table().items()}
    for kind, number, reworded in (("user", 97, 18), ("injection", 35, 11)):
        found = [words for name, words in keys.items() if f"/{kind}_task_" in name]
        assert (len(found), sum(len(words) > 1 for words in found)) == (number, reworded)
    assert sum(map(len, keys.values())) == len(set().union(*keys.values()))


def test_the_table_words_goals_as_the_table_of_goals_does(repo: Path) -> None:
    text = (repo / "configs/attack_goals/agentdojo_v1.json").read_text(encoding="utf-8")
    goals = json.loads(text)["goals"].values()
    assert {f"{goal['suite']}/{goal['injection_task']}": goal["texts"] for goal in goals} == {
        name: texts for name, texts in table().items() if "/injection_task_" in name
    }


def test_every_wording_has_the_key_of_the_oldest() -> None:
    for name, texts in table().items():
        suite, _, task = name.partition("/")
        assert {oldest(query_key(text)) for text in texts} == {query_key(texts[0])}
        assert goal_key((suite, task)) == query_key(texts[0])
    assert oldest("no task of theirs") == "no task of theirs"
    assert goal_key(("shop", "injection_task_1")) == goal_key(("shop", "injection_task_1"))
    assert goal_key(("shop", "injection_task_1")) != goal_key(("shop", "injection_task_2"))


NAMES = st.tuples(st.just("suite"), st.sampled_from("12345"))
RECORDS = st.lists(st.tuples(NAMES, st.sampled_from("abcdefgh")), max_size=12)


def keys(records: list[tuple[Task, str]]) -> dict[Task, str]:
    wordings = Wordings()
    for task, words in records:
        wordings.join(task, words)
    return {task: wordings.key(task) for task, _ in records}


@settings(deadline=None)
@given(RECORDS)
def test_records_share_a_key_exactly_where_they_hang_together(
    records: list[tuple[Task, str]],
) -> None:
    found = keys(records)
    assert keys(records[::-1]) == found
    # An independent closure: grow each record's words until nothing is added.
    for task in found:
        words = {text for name, text in records if name == task}
        while True:
            names = {name for name, text in records if text in words}
            more = {text for name, text in records if name in names}
            if more == words:
                break
            words = more
        assert found[task] == min(words)


def test_words_of_the_table_go_first() -> None:
    words = query_key(table()["travel/user_task_19"][0])
    assert words > "a"
    assert keys([(("travel", "user_task_19"), "a"), (("travel", "user_task_19"), words)]) == {
        ("travel", "user_task_19"): words
    }


def test_a_task_without_words_goes_by_its_name() -> None:
    assert Wordings().key(("shop", "user_task_1")) == "shop/user_task_1"


def test_a_task_of_the_table_has_its_words_though_its_own_source_words_it_otherwise() -> None:
    """Another source may have a task of that name in the benchmark's words alone."""
    task = ("banking", "user_task_1")
    words = query_key(table()["banking/user_task_1"][0])
    assert keys([(task, "please help with this request")]) == {task: words}
    assert Wordings().key(task) == words


def test_a_long_chain_of_tasks_is_followed() -> None:
    """Every task shares its words with the next, in the order that makes the longest chain."""
    wordings = Wordings()
    for number in range(5000):
        wordings.join(("suite", str(number)), f"{number:05}")
        wordings.join(("suite", str(number)), f"{number + 1:05}")
    assert wordings.key(("suite", "4999")) == "00000"


def test_wordings_of_every_record_s_own_take_no_memory() -> None:
    wordings = Wordings()
    each = held_for_each(
        wordings, lambda n: wordings.join(("shop", f"{n}"), f"{n}"), 8 * REMEMBERED
    )
    assert each < 30
    assert wordings.key(("shop", "2000")) == "2000"
    wordings.join(("shop", "0"), "2000")
    assert wordings.key(("shop", "0")) == wordings.key(("shop", "2000")) == "0"
