"""Plain text encoded in a process beside this one.

To read a vocabulary takes a third of a second, in which the tokenizers library holds Python's lock,
and what is around its encoding holds it too. Rendering needs that lock all the time.
"""

from __future__ import annotations

import contextlib
import logging
import multiprocessing
import signal
import threading
from concurrent.futures import Future
from multiprocessing.connection import Connection
from queue import SimpleQueue

from cbdata.rejects import Reject
from cbdata.render.text_encoder import Ids, TextEncoder, settle
from cbdata.render.tokenizer import PlainTokenizer

logger = logging.getLogger(__name__)

_Answer = list[Ids] | tuple[str, str]
_Texts = list[str]


class EncodingProcess:
    """Encodes as ``TextEncoder`` does. The process ends with the one that started it, however that
    ends; where it is killed before, the rest is encoded here.
    """

    def __init__(self, tokenizer: PlainTokenizer) -> None:
        """Fork the process, which reads the vocabulary at once. To be called before there are
        threads.

        Args:
            tokenizer: Best one whose model was not read yet.
        """
        self._here = TextEncoder(tokenizer)
        # Two threads, so that neither process ever waits for the other to read.
        self._asked: SimpleQueue[_Texts] = SimpleQueue()
        self._begun: SimpleQueue[tuple[_Texts, Future[list[Ids]]]] = SimpleQueue()
        context = multiprocessing.get_context("fork")
        self._line, end = context.Pipe()
        self.process = context.Process(
            target=_serve, args=(tokenizer, end, self._line), daemon=True
        )
        self.process.start()
        end.close()
        for work in (self._ask, self._take_answers):
            threading.Thread(target=work, daemon=True).start()

    def begin(self, texts: _Texts) -> Future[list[Ids]]:
        """The ids of each text, once they are there.

        Args:
            texts: As for ``Encoding``.
        """
        future: Future[list[Ids]] = Future()
        self._begun.put((texts, future))
        self._asked.put(texts)
        return future

    def _ask(self) -> None:
        broken = False
        while True:
            texts = self._asked.get()
            # Later texts could be answered in the place of those that were not sent.
            if broken:
                continue
            try:
                self._line.send(texts)
            except Exception:
                # The process is gone, or a text did not fit into memory: the other thread meets
                # the end of the process then.
                broken = True
                self.process.kill()

    def _take_answers(self) -> None:
        gone = False
        while True:
            texts, future = self._begun.get()
            if not gone:
                try:
                    answer: _Answer = self._line.recv()
                except Exception as error:
                    if not threading.main_thread().is_alive():  # the program ends, and so did it
                        future.set_exception(error)
                        continue
                    logger.warning("the process that encodes text is gone; its work is done here")
                    self.process.kill()  # where it was the line alone that failed
                    gone = True
                else:
                    if isinstance(answer, tuple):
                        future.set_exception(Reject(*answer))
                    else:
                        future.set_result(answer)
                    continue
            settle(future, self._here, texts)


def _serve(tokenizer: PlainTokenizer, line: Connection, other_end: Connection) -> None:
    """Answer until the other process is gone."""
    other_end.close()  # or the end of the other process would not be seen
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the other process ends, and with it this one
    encoder = TextEncoder(tokenizer)
    # What fails here fails there too, where somebody is told: a panic of the library, too, which is
    # no Exception.
    with contextlib.suppress(BaseException):
        _ = tokenizer.model
        while True:
            texts: _Texts = line.recv()
            try:
                answer: _Answer = encoder.encode(texts)
            except Reject as error:
                answer = error.reason, error.detail
            line.send(answer)
