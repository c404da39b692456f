"""How two nodes of an engine know each other: each asks the other to answer a random text with the
job's secret, which itself is never sent.

The first node proves itself first, so a stranger on its port learns nothing but a name and a rank.
What is said afterwards is neither signed nor encrypted.
"""

from __future__ import annotations

import contextlib
import hmac
import secrets

import orjson

from cbdata.fill.node_line import Line

HELLO_S = 10.0
"""How long either side waits for each of the other's messages."""

HELLO_BYTES = 4096
"""A message is no longer: strangers fill no memory."""


def meet_head(line: Line, secret: str, rank: int, name: str) -> bool:
    """Say who this is, and see whether the other side is the head; only then prove it.

    Args:
        line: To whoever listens at the head's place.
        secret: The job's.
        rank: This node's number.
        name: Its name.

    Returns:
        Whether the other side knows the secret.
    """
    mine = secrets.token_hex(16)
    # What the other side does not take gets no answer.
    with contextlib.suppress(OSError):
        line.send({"rank": rank, "node": name, "nonce": mine})
    answer = line.read(HELLO_S, HELLO_BYTES) or {}
    theirs = answer.get("nonce")
    if not isinstance(theirs, str):
        return False
    if not _same(answer.get("proof"), _proof(secret, "head", rank, mine, theirs)):
        return False
    with contextlib.suppress(OSError):
        line.send({"proof": _proof(secret, "node", rank, mine, theirs)})
    return True


def meet_node(line: Line, secret: str, nodes: int) -> tuple[int, str] | None:
    """Prove that this is the head to whoever connects, and have them prove who they are.

    Args:
        line: To them.
        secret: The job's.
        nodes: How many nodes the engine has, the head among them.

    Returns:
        The node's rank, in ``[1, nodes)``, and its name; None for a stranger.
    """
    hello = line.read(HELLO_S, HELLO_BYTES) or {}
    rank, theirs, mine = hello.get("rank"), hello.get("nonce"), secrets.token_hex(16)
    if type(rank) is not int or not 0 < rank < nodes or not isinstance(theirs, str):
        return None
    try:
        line.send({"nonce": mine, "proof": _proof(secret, "head", rank, theirs, mine)})
    except OSError:
        return None
    answer = line.read(HELLO_S, HELLO_BYTES) or {}
    if not _same(answer.get("proof"), _proof(secret, "node", rank, theirs, mine)):
        return None
    return rank, str(hello.get("node"))


def _proof(secret: str, who: str, rank: int, of_node: object, of_head: object) -> str:
    """What shows that ``who`` knows the secret, by the random texts of both sides: an answer can
    neither be used a second time nor be sent back to the one who gave it.
    """
    said = orjson.dumps([who, rank, of_node, of_head])
    return hmac.new(secret.encode(), said, "sha256").hexdigest()


def _same(said: object, proof: str) -> bool:
    return isinstance(said, str) and hmac.compare_digest(said.encode(), proof.encode())
