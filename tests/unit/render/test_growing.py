"""Text collected in a namespace is what Jinja makes of it, piece by piece and read in between."""

from __future__ import annotations

import time

import pytest
from jinja2 import Environment

from cbdata.render.environment import environment
from cbdata.render.growing import Growing
from cbdata.render.instrument import Marks, compile_marked
from cbdata.render.traced_text import Origin, traced
from tests.unit.render.test_growth import bytecodes as counted

SOURCES = {
    "plus": "{% set ns.t = ns.t + x + '-' %}",
    "tilde": "{% set ns.t = ns.t ~ x ~ 1 %}",
    "both": "{% set ns.t = ns.t ~ '<' ~ x + '>' %}",
    "number": "{% set ns.n = ns.n + 1 + 2 %}",
    "list": "{% set ns.l = ns.l + [x] %}",
    "read": "{% set ns.t = ns.t + x %}{{ ns.t | length }}{{ ns['t'] }}",
    "front": "{% set ns.t = x ~ '-' ~ ns.t %}{% if loop.last %}{% set ns.t = ns.t ~ 1 %}"
    "{% endif %}",
    "both ends": "{% set ns.t = ns.t ~ x %}{% set ns.t = x ~ ns.t %}{{ ns.t.endswith('aa') }}",
    "asked": "{% if ns.t %}{% set ns.t = ns.t ~ '-' %}{% endif %}{% set ns.t = ns.t ~ x %}",
    "kept": "{% set ns.t = ns.t + x %}{% set ns.l = ns.l + [ns.t] %}{% set ns.t = ns.t + '.' %}",
    "ends": "{% set ns.t = ns.t + x %}{{ ns.t.endswith('ab') }}{{ ns.t.endswith('bcd') }}",
    "safe": "{% set ns.t = ns.t + ('<' | safe) %}{% set ns.t = ns.t + '&' %}",
}


@pytest.mark.parametrize("name", SOURCES)
def test_it_is_what_jinja_prints(name: str) -> None:
    source = (
        "{% set ns = namespace(t='', n=0, l=[]) %}{% for x in ['a', 'b', 'cd'] %}"
        + SOURCES[name]
        + "{% endfor %}{{ ns.t }}{{ ns.n }}{{ ns.l }}"
    )
    wanted = Environment().from_string(source).render()
    assert compile_marked(environment("26 Jul 2024", Marks()), source).render() == wanted


def test_text_and_a_number_cannot_be_added() -> None:
    source = "{% set ns = namespace(t='a') %}{% set ns.t = ns.t + 1 %}"
    with pytest.raises(TypeError):
        compile_marked(environment("26 Jul 2024", Marks()), source).render()


@pytest.mark.parametrize(
    ("pieces", "ending", "wanted"),
    [
        (["ab", "c"], "bc", True),
        (["ab", "c"], "xc", False),
        (["ab", "", "cd"], "d", True),
        (["", ""], "", True),
        (["ab", ""], "b", True),
        (["a"], ("x", "a"), True),
    ],
)
def test_endings_are_found_across_pieces(pieces: list[str], ending: str, wanted: bool) -> None:
    assert Growing(list(pieces)).endswith(ending) is wanted


def test_time_grows_with_the_length_alone() -> None:
    source = (
        "{% set ns = namespace(t='') %}{% for x in range(n) %}{% if not ns.t.endswith('\n') %}"
        "{% set ns.t = ns.t + '\n' %}{% endif %}{% set ns.t = ns.t ~ word %}{% endfor %}{{ ns.t }}"
    )
    template = compile_marked(environment("26 Jul 2024", Marks()), source)

    def seconds(count: int) -> float:
        begun = time.process_time()
        assert len(template.render(n=count, word="x" * 1000)) == 1001 * count
        return time.process_time() - begun

    seconds(100)
    assert seconds(20_000) < 40 * max(seconds(2_000), 0.001)  # quadratic would be 100 times


@pytest.mark.parametrize("asked", ["ns.t", "ns.t | length > 0", "ns.t != ''"])
def test_a_look_at_the_text_does_not_put_its_stretches_together(asked: str) -> None:
    source = (
        "{% set ns = namespace(t='') %}{% for x in all %}{% if ASKED %}{% set ns.t = ns.t ~ ' ' %}"
        "{% endif %}{% set ns.t = ns.t ~ x %}{% endfor %}{{ ns.t }}"
    )
    template = compile_marked(environment("26 Jul 2024", Marks()), source.replace("ASKED", asked))

    def bytecodes(count: int) -> int:
        words = [traced(f"{number:05}", Origin("content", number)) for number in range(count)]
        return counted(lambda: template.render(all=words))

    bytecodes(10)
    assert bytecodes(400) < 2.1 * bytecodes(200)


def test_texts_read_on_the_way_keep_their_own_stretches() -> None:
    growing = Growing([traced("ab", Origin("content", 0))])
    texts = [growing.text()]
    for number, piece in enumerate(("cd", "", "ef"), start=1):
        growing.pieces.append(traced(piece, Origin("content", number)))
        texts.append(growing.text())
    whole = [[(part.start, part.end, part.origin.message) for part in t.parts] for t in texts[::-1]]
    assert texts == ["ab", "abcd", "abcd", "abcdef"]
    assert whole == [[(0, 2, 0), (2, 4, 1), (4, 4, 2), (4, 6, 3)][:n] for n in (4, 3, 2, 1)]
