"""The renderer: conversations to token ids with exact spans, for the fill stage and for ETL_B
alike.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import groupby
from typing import Any, TypeVar

from cbdata.call_formats.settle import printed_format
from cbdata.ids import token_ids_sha256
from cbdata.records import CompletionSpans, EarlierThinking
from cbdata.rejects import Reject
from cbdata.render.ahead import Ahead
from cbdata.render.align import assemble, split
from cbdata.render.answers import AnswerStarts, learn_headers
from cbdata.render.draft import Draft, Rendered, split_at
from cbdata.render.draft_encoder import DraftEncoder
from cbdata.render.encoder import CACHE_CHARACTERS, SegmentEncoder
from cbdata.render.escape import Escaper, first_with
from cbdata.render.fit_advice import admitted, advised
from cbdata.render.fit_spans import restored
from cbdata.render.fits import REPORT, Fitting, fit
from cbdata.render.generated import completion_turn
from cbdata.render.inline_calls import InlineCalls
from cbdata.render.layout import lay_out
from cbdata.render.locate import locate_tokenizer
from cbdata.render.partition import partition
from cbdata.render.probes import probe_landmarks
from cbdata.render.settings import Prompt, RenderSettings
from cbdata.render.stops import with_stops
from cbdata.render.template import ChatTemplate, check_llama_tokens, template_source
from cbdata.render.text_encoder import Encoding
from cbdata.render.tokenizer import PlainTokenizer, load_tokenizer, own_template
from cbdata.render.traced_text import Part
from cbdata.render.turns import Landmarks
from cbdata.render.written import Speller, Written
from cbdata.render.written_calls import as_calls

Result = TypeVar("Result")
Messages = Sequence[Mapping[str, Any]]
Tools = Sequence[Mapping[str, Any]]


class Renderer(DraftEncoder):
    """Renders conversations with one tokenizer and one chat template; nothing is downloaded and no
    model library imported.
    """

    def __init__(
        self,
        settings: RenderSettings,
        tokenizer: PlainTokenizer,
        tokenizer_id: str,
        template: ChatTemplate,
        landmarks: Landmarks,
        cache_characters: int = CACHE_CHARACTERS,
        encoding: Encoding | None = None,
    ) -> None:
        """Put a renderer together; ``load`` does so from settings.

        Args:
            settings: What decides the ids.
            tokenizer: The tokenizer without its control tokens.
            tokenizer_id: What renders call it: a hub id or a directory's name.
            template: The compiled chat template.
            landmarks: What probing the template has shown.
            cache_characters: Characters of text whose ids are kept.
            encoding: What encodes plain text with the tokenizer; in this process if None.
        """
        self.settings, self.tokenizer, self.tokenizer_id, self.template = (
            settings,
            tokenizer,
            tokenizer_id,
            template,
        )
        super().__init__(SegmentEncoder(tokenizer, cache_characters, encoding))
        self.speller = Speller(tokenizer)
        self._escaper = Escaper(tokenizer)
        landmarks = with_stops(landmarks, template, tokenizer)
        self._answers = AnswerStarts(template, tokenizer, landmarks)
        headers = learn_headers(self._answers, template, tokenizer, landmarks)
        self.landmarks = replace(landmarks, headers=headers)
        self._inline = InlineCalls(template, tokenizer, landmarks, lambda: printed_format(self))

    @classmethod
    def load(cls, settings: RenderSettings, ahead: Ahead | None = None) -> Renderer:
        """Find, read and probe tokenizer and template.

        Args:
            settings: What decides the ids.
            ahead: What ``begin`` of ``cbdata.render.ahead`` gave for these settings, if it was
                called.

        Raises:
            TokenizerError: Says what to do.
        """
        folder, tokenizer_id = locate_tokenizer(
            settings.tokenizer, settings.cache_dir, settings.revision
        )
        tokenizer = ahead.tokenizer if ahead else load_tokenizer(folder)
        if settings.force_llama:
            check_llama_tokens(tokenizer.control, tokenizer_id)
        name, source = template_source(settings, tokenizer.chat_template, tokenizer.control)
        template = ChatTemplate(
            source,
            name,
            tokenizer.special,
            settings.template_date,
            settings.chat_template_kwargs,
        )
        return cls(
            settings,
            tokenizer,
            tokenizer_id,
            template,
            probe_landmarks(template, tokenizer),
            encoding=ahead and ahead.encoding,
        )

    @staticmethod
    def check_files(settings: RenderSettings) -> None:
        """Look whether tokenizer and template are there, in milliseconds: the tokenizer is not
        loaded. Raises TokenizerError.
        """
        folder, _ = locate_tokenizer(settings.tokenizer, settings.cache_dir, settings.revision)
        template_source(settings, own_template(folder))

    @property
    def tokenizer_sha256(self) -> str:
        """SHA-256 of tokenizer.json."""
        return self.tokenizer.sha256

    @property
    def chat_template_sha256(self) -> str:
        """SHA-256 of the template's text."""
        return self.template.sha256

    @property
    def chat_template_name(self) -> str:
        """``tokenizer`` for the tokenizer's own template, else the name of the project's template
        or of the file.
        """
        return self.template.name

    @property
    def turn_end_ids(self) -> list[int]:
        """Ids of the control tokens that end a turn of this template, ascending."""
        return sorted(self.tokenizer.control[token].id for token in self.landmarks.turn_ends)

    def prompt(self, messages: Messages, tools: Tools | None = None) -> Prompt:
        """What a model is given to answer the conversation, generation prompt included. Raises
        Reject.
        """
        pieces = self._prompt_pieces(messages, tools)
        ids = assemble(pieces, self.encoder.encode(filter(None, pieces[::2])), self.encoder).ids()
        return Prompt("".join(pieces), ids, token_ids_sha256(ids))

    def prompt_text(self, messages: Messages, tools: Tools | None = None) -> str:
        """The text of ``prompt``. Raises Reject."""
        return "".join(self._prompt_pieces(messages, tools))

    def draft(
        self,
        messages: Messages,
        tools: Tools | None = None,
        *,
        split_prompt: bool = False,
        earlier_thinking: EarlierThinking = "reject",
    ) -> Draft:
        """Render and lay out one conversation.

        A model that was given a prompt has written its answer in tokens of its own; tokenising both
        as one text could join a newline at the end of the prompt with one at the start of the
        answer.

        Args:
            messages: The messages of a trace.
            tools: The tools to show, or None.
            split_prompt: Let no token cross from the prompt into the last assistant turn's text.
            earlier_thinking: Whether the template may leave out the reasoning of earlier turns.

        Raises:
            Reject: The template refuses the conversation, or something in it cannot be placed.
        """

        def attempt(fits: Sequence[str]) -> Draft:
            return self._draft(messages, tools, earlier_thinking, fits)

        draft = self._fitted(messages, attempt)
        boundary = draft.prompt_end() if split_prompt else None
        if boundary is not None:
            draft.pieces = split_at(draft.pieces, boundary)
        return draft

    def _draft(
        self,
        messages: Messages,
        tools: Tools | None,
        earlier_thinking: EarlierThinking,
        fits: Sequence[str],
    ) -> Draft:
        messages, tools, hidden = self._escape(messages, tools)
        fitting = fit(messages, fits)
        text, parts = self._print(fitting.messages, tools, hidden)
        roles = [message["role"] for message in fitting.messages]
        last = max((at for at, role in enumerate(roles) if role == "assistant"), default=0)
        thinking_from = last if earlier_thinking == "as_template" else 0
        return self._lay_out(text, parts, fitting, tools, len(text), hidden, thinking_from)

    def _print(
        self,
        messages: Messages,
        tools: Tools | None,
        hidden: Mapping[str, str] | None,
        *,
        generation_prompt: bool = False,
    ) -> tuple[str, list[Part]]:
        """What the template prints, and that calls in contents are printed like others."""
        text, parts = self.template.render(
            messages, tools, generation_prompt=generation_prompt, hidden=hidden
        )
        self._inline.check(text, messages, tools, hidden, generation_prompt=generation_prompt)
        return text, parts

    def _fitted(self, messages: Messages, attempt: Callable[[Sequence[str]], Result]) -> Result:
        """What ``attempt`` makes with the fits of the settings, or with fewer where one is in the
        way; a reject says which others would admit the conversation where none are made.
        """
        fits = self.settings.fits
        try:
            return attempt(fits)
        except Reject as error:
            if self.settings.template_fit != REPORT:
                return admitted(error, messages, attempt, fits)
            raise advised(error, messages, attempt) from error

    def draft_written(
        self,
        messages: Messages,
        tools: Tools | None,
        written: Written,
        spans: CompletionSpans,
        *,
        earlier_thinking: EarlierThinking = "reject",
    ) -> Draft:
        """Render and lay out a conversation whose last turn a model wrote in tokens of its own: the
        prompt as ``prompt`` makes it, and behind it the completion.

        Args:
            messages: The messages of a trace, the completion's last.
            tools: The tools that the model was shown, or None.
            written: The completion's ids and what they spell.
            spans: What stands where in it.
            earlier_thinking: Whether the template may leave out the reasoning of earlier turns.

        Raises:
            Reject: As for ``draft``, and where the spans do not hold what the last message says.
        """
        clean, tools, hidden = self._escape(messages, tools)

        def attempt(fits: Sequence[str]) -> tuple[Fitting, tuple[str, list[Part]]]:
            made = fit(clean[:-1], fits)
            return made, self._print(made.messages, tools, hidden, generation_prompt=True)

        fitting, (text, parts) = self._fitted(clean[:-1], attempt)
        asking = self.landmarks.generation_prompt
        body = len(text) - len(asking) if asking and text.endswith(asking) else len(text)
        if body < len(text):  # some templates print it in the loop over the messages
            parts = [
                part._replace(start=min(part.start, body), end=min(part.end, body))
                for part in parts
            ]
        thinking_from = len(fitting.messages) if earlier_thinking == "as_template" else 0
        draft = self._lay_out(text, parts, fitting, tools, body, hidden, thinking_from)
        start = body if body < len(text) else draft.turns[-1].end if draft.turns else 0
        start += len(text[start:]) - len(text[start:].lstrip())
        draft.turns.append(
            completion_turn(messages[-1], spans, written, len(messages) - 1, start, len(text))
        )
        draft.text += written.text
        draft.written = written
        return draft

    def _lay_out(
        self,
        text: str,
        parts: list[Part],
        fitting: Fitting,
        tools: Tools | None,
        body: int,
        hidden: Mapping[str, str] | None,
        thinking_from: int,
    ) -> Draft:
        """The draft of a text of which the messages take up the first ``body`` characters."""
        pieces = self.tokenizer.pattern.split(text)
        controls = split(text, pieces)
        self._check_bos(controls)
        if body < len(text):
            controls = [control for control in controls if control[1] <= body]
        ask = self._answers.of(text, fitting.messages, tools, hidden)
        laid_out = lay_out(
            text[:body],
            parts,
            [as_calls(message) for message in fitting.messages],
            controls,
            self.landmarks,
            thinking_from,
            ask,
        )
        bos = self.landmarks.bos
        stretches = partition(laid_out, body, len(bos) if text.startswith(bos) else 0)
        turns = restored(laid_out, fitting)
        control_text: list[tuple[int, str, int]] = []
        if hidden:
            counts = self._escaper.counts.items()
            control_text = sorted((message, token, count) for (message, token), count in counts)
            pieces = [self._escaper.reveal(piece) for piece in pieces]
            for call in (call for turn in turns for call in turn.calls):
                call.name = self._escaper.reveal(call.name)
        whole = "".join(pieces) if hidden else text
        return Draft(whole, parts, pieces, turns, control_text, None, fitting.applied, stretches)

    def render(
        self, messages: Messages, tools: Tools | None = None, *, split_prompt: bool = False
    ) -> Rendered:
        """Render and tokenise one conversation at once.

        Args:
            messages: As for ``draft``.
            tools: As there.
            split_prompt: As there.

        Raises:
            Reject: The conversation cannot be rendered or tokenised exactly.
        """
        outcome = self.encoded(self.draft(messages, tools, split_prompt=split_prompt))
        if isinstance(outcome, Reject):
            raise outcome
        return outcome

    def decode(self, ids: Iterable[int], skip_special_tokens: bool = False) -> str:
        """The text of token ids, control tokens spelled out (special ones left out if asked)."""
        control = self.tokenizer.control.values()
        texts = {token.id: token.text for token in control}
        texts |= {token: text for text, token in self.tokenizer.text_tokens.items()}
        hidden = {token.id for token in control if token.special} if skip_special_tokens else set()
        out: list[str] = []
        for added, run in groupby(ids, texts.__contains__):
            if added:
                out += [texts[token] for token in run if token not in hidden]
            else:
                out.append(self.tokenizer.model.decode(list(run), skip_special_tokens=False))
        return "".join(out)

    def _escape(
        self, messages: Messages, tools: Tools | None
    ) -> tuple[Messages, Tools | None, Mapping[str, str] | None]:
        """The same conversation with control-token text hidden, and what the hidden characters
        stand for; None where there was no such text.
        """
        written = self._inline.read(messages)
        if not written and first_with(self.tokenizer.pattern, messages, tools) is None:
            return messages, tools, None
        escaper = self._escaper
        clean, clean_tools = escaper.hide_all(messages, tools, written)
        if escaper.counts and self.settings.control_tokens == "reject":
            token = next(token for _, token in escaper.counts)
            raise Reject(
                "control_token_in_content",
                f"{token!r} stands in a message (control_tokens: reject)",
            )
        return clean, clean_tools, escaper.hidden()

    def _prompt_pieces(self, messages: Messages, tools: Tools | None) -> list[str]:
        return self._fitted(messages, lambda fits: self._asking_pieces(messages, tools, fits))

    def _asking_pieces(
        self, messages: Messages, tools: Tools | None, fits: Sequence[str]
    ) -> list[str]:
        messages, tools, hidden = self._escape(messages, tools)
        fitted = fit(messages, fits).messages
        text, _ = self._print(fitted, tools, hidden, generation_prompt=True)
        pieces = self.tokenizer.pattern.split(text)
        return [self._escaper.reveal(piece) for piece in pieces] if hidden else pieces

    def _check_bos(self, controls: Sequence[tuple[int, int, str]]) -> None:
        if bos := self.landmarks.bos:
            places = [start for start, _, token in controls if token == bos]
            if places != [0]:
                raise Reject(
                    "bos_count",
                    f"expected exactly one {bos}, at the start of the text; found {len(places)}",
                )
