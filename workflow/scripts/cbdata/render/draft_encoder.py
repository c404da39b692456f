"""From drafts to their tokens."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from cbdata.rejects import Reject
from cbdata.render.align import TokenizedText, assemble
from cbdata.render.draft import Draft, Rendered
from cbdata.render.encoder import Batch, Segment, SegmentEncoder
from cbdata.render.generated import WrittenText


class DraftEncoder:
    """Tokenises drafts, many together."""

    def __init__(self, encoder: SegmentEncoder) -> None:
        self.encoder = encoder

    def begin(self, drafts: Sequence[Draft]) -> Batch:
        """Have the texts of drafts tokenised together; ``finish`` takes what comes of it."""
        return self.encoder.begin(piece for draft in drafts for piece in draft.plain())

    def finish(self, drafts: Sequence[Draft], batch: Batch) -> list[Rendered | Reject]:
        """The drafts with their tokens; a draft whose text cannot be tokenised exactly gives its
        error in its place.

        Args:
            drafts: The drafts.
            batch: What ``begin`` gave for them.
        """
        try:
            segments = batch.segments()
            return [Rendered(draft, self._tokens(draft, segments)) for draft in drafts]
        except Reject as error:
            if len(drafts) == 1:
                return [error]
            return [self.encoded(draft) for draft in drafts]

    def encoded(self, draft: Draft) -> Rendered | Reject:
        """One draft with its tokens, or why it has none."""
        return self.finish([draft], self.begin([draft]))[0]

    def _tokens(self, draft: Draft, segments: Mapping[str, Segment]) -> TokenizedText:
        tokens = assemble(draft.pieces, segments, self.encoder)
        if draft.written is None:
            return tokens
        return WrittenText(tokens, draft.prompt_end() or 0, draft.written, self.encoder)
