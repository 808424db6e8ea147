from dataclasses import replace

import pytest
import torch

from ojito.model.masks import AttentionMetadata, bidirectional_blocks, mask_to_bias, may_attend
from ojito.records import PADDING


def places(segments, kinds, mask="causal", positions=None):
    """Metadata from two drawings, one character a place: of segments, and of image (i), prompt (p) and answer (_).

    Positions count within what each segment may read.
    """
    numbers = [PADDING if letter == "." else int(letter) for letter in segments]
    if positions is None:
        positions, shared = [], numbers.count(0)
        for i, segment in enumerate(numbers):
            before = numbers[:i].count(segment)
            positions.append(before if segment <= 0 else shared + before)
    prefix, is_image = (torch.tensor([[letter in letters for letter in kinds]]) for letters in ("ip", "i"))
    return AttentionMetadata(
        torch.tensor([positions]), torch.tensor([numbers]), bidirectional_blocks(mask, prefix, is_image)
    )


def packed(documents, segments, kinds, mask="causal", positions=None):
    """The same of one row that holds several documents; in the drawing of documents a point is padding, too.

    Positions count within what each segment of each document may read.
    """
    numbers = torch.tensor([[PADDING if letter == "." else int(letter) for letter in documents]])
    if positions is None:
        positions = []
        for document in dict.fromkeys(documents):
            own = "".join(segment for segment, of in zip(segments, documents, strict=True) if of == document)
            positions += places(own, "_" * len(own)).positions[0].tolist()
    return replace(places(segments, kinds, mask, positions), documents=numbers)


def drawn(mask):
    return ["".join("x" if may else "-" for may in row) for row in mask[0, 0]]


def test_causal_mask_reads_what_came_before():
    here = places("00000", "pp___")  # a prefix changes nothing
    assert drawn(may_attend(here, here)) == [
        "x----",
        "xx---",
        "xxx--",
        "xxxx-",
        "xxxxx",
    ]


def test_prefix_mask_reads_the_prefix_in_both_directions():
    here = places("000000", "pppp__", "prefix")
    assert drawn(may_attend(here, here)) == [
        "xxxx--",
        "xxxx--",
        "xxxx--",
        "xxxx--",
        "xxxxx-",
        "xxxxxx",
    ]


@pytest.mark.parametrize("mask", ["causal", "prefix"])
def test_left_padding_is_read_by_padding_only(mask):
    here = places("..000", "__pp_", mask)
    assert [line[:2] for line in drawn(may_attend(here, here))] == [
        "x-",
        "xx",
        "--",
        "--",
        "--",
    ]


@pytest.mark.parametrize("mask", ["causal", "prefix"])
def test_right_padding_is_read_by_padding_only(mask):
    here = places("000..", "pp___", mask, positions=[0, 1, 2, 0, 0])
    assert [line[3:] for line in drawn(may_attend(here, here))] == [
        "--",
        "--",
        "--",
        "xx",
        "xx",
    ]


def test_blind_turns_read_the_shared_part_and_themselves():
    here = places("0011122", "pp" + "p__" + "p_")
    assert drawn(may_attend(here, here)) == [
        "x------",
        "xx-----",
        "xxx----",
        "xxxx---",
        "xxxxx--",
        "xx---x-",
        "xx---xx",
    ]


def test_blind_turns_of_a_prefix_mask_hide_their_prompts_from_the_image():
    here = places("0011122", "pp" + "pp_" + "p_", "prefix")
    assert drawn(may_attend(here, here)) == [
        "xx-----",
        "xx-----",
        "xxxx---",
        "xxxx---",
        "xxxxx--",
        "xx---x-",
        "xx---xx",
    ]


def test_documents_of_a_row_do_not_see_each_other():
    here = packed("00011.", "00000.", "pp_p_.")
    assert drawn(may_attend(here, here)) == [
        "x-----",
        "xx----",
        "xxx---",
        "---x--",
        "---xx-",
        "-----x",
    ]


def test_documents_of_a_prefix_mask_keep_their_prefixes_apart():
    here = packed("0001111..", "0000000..", "ip_ipp_..", "prefix")
    assert drawn(may_attend(here, here)) == [
        "xx-------",
        "xx-------",
        "xxx------",
        "---xxx---",
        "---xxx---",
        "---xxx---",
        "---xxxx--",
        "-------x-",
        "-------xx",
    ]


def test_documents_of_an_image_mask_end_its_blocks():
    here = packed(
        "0001111", "0000000", "_iiii__", "image"
    )  # an image at the end of one, and at the beginning of the next
    assert drawn(may_attend(here, here)) == [
        "x------",
        "xxx----",
        "xxx----",
        "---xx--",
        "---xx--",
        "---xxx-",
        "---xxxx",
    ]


@pytest.mark.parametrize("mask", ["causal", "prefix"])
def test_blind_turns_of_a_document_stay_within_it(mask):
    here = packed("00011111.", "00000112.", "ip_ipp__.", mask)  # as in the docstring
    shared = {"causal": ["x--------", "xx-------"], "prefix": ["xx-------"] * 2}[mask]
    image = {"causal": ["---x-----", "---xx----"], "prefix": ["---xx----"] * 2}[mask]
    assert drawn(may_attend(here, here)) == [
        *shared,
        "xxx------",
        *image,
        "---xxx---",
        "---xxxx--",
        "---xx--x-",
        "--------x",
    ]


def test_window_counts_from_the_beginning_of_a_document():
    here = packed("0001111", "0000000", "_______")
    assert drawn(may_attend(here, here, window=2)) == [
        "x------",
        "xx-----",
        "-xx----",
        "---x---",
        "---xx--",
        "----xx-",
        "-----xx",
    ]


def test_one_document_is_a_row_without_documents():
    alone, one = places("0011122", "iip__p_", "image"), packed("0000000", "0011122", "iip__p_", "image")
    assert torch.equal(may_attend(alone, alone, 3, True), may_attend(one, one, 3, True))


def test_window_hides_what_is_further_back():
    here = places("00000", "_____")
    assert drawn(may_attend(here, here, window=2)) == [
        "x----",
        "xx---",
        "-xx--",
        "--xx-",
        "---xx",
    ]


def test_window_of_a_prefix_mask_binds_the_answer_only():
    here = places("000000", "ppp___", "prefix")
    assert drawn(may_attend(here, here, window=2)) == [
        "xxx---",
        "xxx---",
        "xxx---",
        "--xx--",
        "---xx-",
        "----xx",
    ]


def test_image_mask_reads_each_image_in_both_directions():
    here = places("0000000", "iipiip_", "image")
    assert drawn(may_attend(here, here)) == [
        "xx-----",
        "xx-----",
        "xxx----",
        "xxxxx--",
        "xxxxx--",
        "xxxxxx-",
        "xxxxxxx",
    ]


def test_window_ends_blocks_too_when_it_cuts_them():
    here = places("000000", "iiii__", "image")
    assert drawn(may_attend(here, here, window=2, cut_blocks=True)) == [
        "xxxx--",
        "xxxx--",
        "-xxx--",
        "--xx--",
        "---xx-",
        "----xx",
    ]


def test_window_counts_positions_not_columns():
    here = places("0011122", "pp" + "___" + "__")
    assert drawn(may_attend(here, here, window=3))[5:] == ["xx---x-", "-x---xx"]


def test_query_of_a_cache_reads_all_keys_so_far():
    keys = places(".00000", "_ppp__", "prefix")
    query = places("0", "_", "prefix", positions=[4])
    assert drawn(may_attend(query, keys)) == ["-xxxxx"]


@pytest.mark.parametrize("mask", ["causal", "prefix", "image"])
@pytest.mark.parametrize("window", [0, 1, 3])
@pytest.mark.parametrize("cut_blocks", [False, True])
def test_no_row_is_all_false(mask, window, cut_blocks):
    here = places("..00112200..", "__ii_p_p____", mask)
    assert may_attend(here, here, window, cut_blocks).any(dim=-1).all()


def test_mask_to_add_is_zero_or_minus_infinity():
    added = mask_to_bias(torch.tensor([True, False]), torch.bfloat16)
    assert added.dtype == torch.bfloat16
    assert added.tolist() == [0.0, float("-inf")]
