"""Why ETL_A rejects a raw record of any source. A source adds its own reasons in its module."""

from __future__ import annotations

from cbdata.rejects import Hints, Reasons

READING: Reasons = {
    "not_json": "the line is not JSON",
    "not_an_object": "the line is JSON but not an object",
    "not_strict_json": "the line holds NaN, Infinity or a number that no float holds",
    "repeated_key": "an object of the line has a key twice",
    "big_integer": "the line holds an integer that 64 bits do not hold",
    "cut_off": "the last line has no newline and is not whole",
    "nul_byte": "the line holds NUL bytes",
    "not_utf8": "the line is not UTF-8",
    "lone_surrogate": "an escape stands for half a character",
    "line_too_long": "the record is longer than 16 MiB; the rest of it is passed over",
    "too_deep": "the record is nested deeper than it can be written again",
    "compressed_file": "the file is an archive, or compressed by another tool than gzip and zstd",
    "damaged_file": "the rest of a compressed file cannot be read",
    "utf16_file": "the whole file is UTF-16",
    "empty_file": "the file is empty",
    "missing_field": "a field that must be there is not",
    "wrong_type": "a field is of another type than the format says",
    "conflicting_labels": "copies of this record disagree about what happened",
}

_ANOTHER = "give the file that the source is named after, or set the key of the source it is of"

HINTS: Hints = {
    "not_json": "write one JSON object a line; a broken download is a frequent cause",
    "not_an_object": "write one JSON object a line",
    "cut_off": "the file was cut off: download or copy it again",
    "nul_byte": "the file is damaged or binary: download or copy it again",
    "damaged_file": "the file is damaged: download or copy it again",
    "not_utf8": "convert the file to UTF-8 with iconv",
    "utf16_file": "convert the file with `iconv -f UTF-16 -t UTF-8`",
    "compressed_file": "unpack the file",
    "empty_file": "the file holds nothing: look at the path, or make the file again",
    "missing_field": _ANOTHER,
    "missing_messages": _ANOTHER,
    "wrong_type": _ANOTHER,
    "no_attack": "nothing to do: the record has no attack that could be followed",
    "unknown_tools": "set tool_schema to the one of these records",
    "empty_transcript": "nothing to do: there is nothing in these transcripts",
}
"""What to do where a reason is frequent, for the reasons of all sources."""
