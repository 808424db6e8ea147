import json
import logging
from pathlib import Path

import pytest
from PIL import Image

from ojito.data import DataError, open_data, read_source
from ojito.presets import preset
from ojito.records import Turn


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "sub").mkdir()
    for name in ("a.jpg", "b.png", "sub/c.webp"):
        Image.new("RGB", (4, 4)).save(tmp_path / name)
    return tmp_path


def jsonl(folder, *rows, name="rows.jsonl"):
    lines = [row if isinstance(row, str) else json.dumps(row) for row in rows]
    (folder / name).write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder / name


def turns(folder, row, **options):
    return [sample.turns for sample in read_source(jsonl(folder, row), **options).rows]


def answers(source):
    return [answer for sample in source.rows for turn in sample.turns for answer in turn.answers]


def caption(*texts, kind="caption"):
    return Turn("", texts, kind)


# -------------------------------------------------------------------------------------------------------- forms of rows


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ({"caption": "a dog"}, [(caption("a dog"),)]),
        ({"caption": "  a dog\n"}, [(caption("a dog"),)]),
        ({"captions": ["a dog", "a pup"]}, [(caption("a dog", "a pup"),)]),
        ({"caption": "a dog", "kind": "short"}, [(caption("a dog", kind="short"),)]),
        ({"question": "what?", "answer": "dog"}, [(Turn("what?", ("dog",)),)]),
        ({"question": "how many?", "answer": 2}, [(Turn("how many?", ("2",)),)]),
        ({"question": "what?", "answers": ["dog", "pup"], "kind": "x"}, [(Turn("what?", ("dog", "pup"), "x"),)]),
        ({"question": "what?", "answer": "dog", "kind": None, "id": 7}, [(Turn("what?", ("dog",)),)]),
        (
            {"conversations": [{"from": "human", "value": "what?"}, {"from": "gpt", "value": "dog"}] * 2},
            [(Turn("what?", ("dog",), tagged=True),) * 2],
        ),
        (
            {"conversations": [{"from": "user", "value": "hm?"}, {"from": "assistant", "value": "dog"}]},
            [(Turn("hm?", ("dog",), tagged=True),)],
        ),
        (
            {"qa": [{"question": "q", "answer": "a", "kind": "x"}, {"question": "r", "answers": ["b"]}], "kind": "y"},
            [(Turn("q", ("a",), "x"),), (Turn("r", ("b",), "y"),)],
        ),
    ],
)
def test_row_becomes_turns(folder, row, expected):
    assert turns(folder, {"image": "a.jpg", **row}) == expected


def test_captions_and_questions_of_a_row_are_packed_into_one_sample_on_demand(folder):
    row = {
        "image": "a.jpg",
        "captions": ["a dog"],
        "qa": [{"question": "q", "answer": "a"}],
        "question": "r",
        "answer": "b",
    }
    parts = [caption("a dog"), Turn("r", ("b",)), Turn("q", ("a",))]
    assert turns(folder, row) == [(part,) for part in parts]
    assert turns(folder, row, pack=True) == [tuple(parts)]


def test_images_are_paths_relative_to_the_file(folder):
    path = jsonl(
        folder,
        {"image": "a.jpg", "caption": "x"},
        {"image": ["sub/c.webp", "b.png"], "caption": "x"},
        {"image": [], "caption": "x"},
        {"image": str(folder / "b.png"), "caption": "x"},
    )
    found = [list(row.images) for row in read_source(path).rows]
    a, b, c = folder / "a.jpg", folder / "b.png", folder / "sub/c.webp"
    assert found == [[a], [c, b], [], [b]]


def test_rows_know_where_they_come_from(folder):
    path = jsonl(folder, {"image": "a.jpg", "caption": "x"}, "", {"image": "a.jpg", "caption": "x", "split": "dev"})
    assert [(row.origin, row.split) for row in read_source(path).rows] == [
        ("rows.jsonl:1", ""),
        ("rows.jsonl:3", "dev"),
    ]


def test_byte_order_mark_windows_lines_blank_lines_and_duplicates_are_fine(folder):
    line = json.dumps({"image": "a.jpg", "caption": "é\u2028"}, ensure_ascii=False)
    (folder / "rows.jsonl").write_bytes(("\ufeff" + line + "\r\n\r\n  \r\n" + line).encode())
    assert [row.turns for row in read_source(folder / "rows.jsonl").rows] == [(caption("é", "é"),)]


# ------------------------------------------------------------------------------------------------------------ folders


def test_folder_with_captions_csv_joins_the_captions_of_an_image(folder):
    (folder / "captions.csv").write_text(
        '\ufeffImage,Caption\r\na.jpg,"a dog, lying"\r\nb.png,a cat\r\na.jpg,a pup\r\n'
    )
    rows = read_source(folder).rows
    assert [(row.images[0].name, row.turns) for row in rows] == [
        ("a.jpg", (caption("a dog, lying", "a pup"),)),
        ("b.png", (caption("a cat"),)),
    ]
    assert rows[1].origin == "captions.csv:3"


def test_csv_of_questions_and_splits(folder):
    (folder / "own.csv").write_text(
        "image,question,answer,split,kind\na.jpg,what?,dog,train,x\na.jpg,what?,dog,dev,\nb.png,how?,well,,\n"
    )
    source = read_source(folder / "own.csv")
    assert source.splits == {"train": 2, "dev": 1}
    assert [row.turns[0] for row in source.samples("train")] == [
        Turn("what?", ("dog",), "x"),
        Turn("how?", ("well",)),
    ]


def test_csv_keeps_captions_of_different_splits_apart(folder):
    (folder / "captions.csv").write_text("image,caption,split\na.jpg,one,train\na.jpg,two,dev\n")
    source = read_source(folder)
    assert [source.samples(split)[0].turns[0].answers for split in ("train", "dev")] == [("one",), ("two",)]


def test_csv_with_captions_and_questions_loses_neither(folder):
    lines = "a.jpg,a dog,what?,dog\nb.png,a cat,what?,cat\na.jpg,a pup,how old?,young\na.jpg,it barks,who?,a dog\n"
    (folder / "captions.csv").write_text("image,caption,question,answer\n" + lines)
    asked = [Turn("what?", ("dog",)), Turn("how old?", ("young",)), Turn("who?", ("a dog",))]
    a, b = caption("a dog", "a pup", "it barks"), (caption("a cat"), Turn("what?", ("cat",)))
    assert [row.turns for row in read_source(folder, pack=True).rows] == [(a, *asked), b]
    apart = [row.turns for row in read_source(folder).rows]
    assert len(apart) == 6
    assert set(apart) == {(turn,) for turn in (a, *asked, *b)}


def test_folder_with_a_jsonl_file(folder):
    jsonl(folder, {"image": "a.jpg", "caption": "x"}, name="whatever.jsonl")
    assert len(read_source(folder).rows) == 1


def test_folder_of_images_with_texts_of_the_same_name(folder):
    (folder / "a.txt").write_text("a dog\n\na pup\n")
    (folder / "b.txt").write_text("\ufeffa cat")
    rows = read_source(str(folder)).rows
    assert [(row.images, row.turns, row.origin) for row in rows] == [
        ([folder / "a.jpg"], (caption("a dog", "a pup"),), "a.txt"),
        ([folder / "b.png"], (caption("a cat"),), "b.txt"),
    ]


# ---------------------------------------------------------------------------------------------------- splits and budget


def test_rows_without_a_split_belong_to_train(folder):
    source = read_source(jsonl(folder, *[{"image": "a.jpg", "caption": "x", "split": s} for s in ("", "dev", "train")]))
    assert source.splits == {"train": 2, "dev": 1}
    assert [row.origin for row in source.samples("train")] == ["rows.jsonl:1", "rows.jsonl:3"]


def test_limit_draws_rows_of_a_split_by_seed_and_keeps_their_order(folder):
    images = ("a.jpg", "b.png", "sub/c.webp")
    rows = [{"image": image, "caption": split, "split": split} for image in images for split in ("train", "dev")]
    source = read_source(jsonl(folder, *rows))
    drawn = {tuple(row.origin[-1] for row in source.samples("dev", 2, seed)) for seed in range(20)}
    assert drawn == {("2", "4"), ("2", "6"), ("4", "6")}
    assert source.samples("dev", 2) == source.samples("dev", 2, seed=0)
    assert len(source.samples("dev", limit=9)) == len(source.samples("dev")) == 3


GOOD = {"image": "a.jpg", "caption": "x"}
BAD = {"image": "missing.jpg", "caption": "x"}


def test_bad_rows_within_the_budget_are_named_counted_and_skipped(folder, caplog):
    with caplog.at_level(logging.WARNING):
        source = read_source(jsonl(folder, BAD, *[GOOD] * 38, "{"))
    assert answers(source) == ["x"] * 38
    assert [problem.split(": ")[0] for problem in source.problems] == ["rows.jsonl:1", "rows.jsonl:40"]
    assert "missing.jpg: does not exist" in caplog.text
    assert "skipped 2 of 40 rows" in caplog.text


def test_bad_rows_above_the_budget_stop_and_list_the_first(folder):
    path = jsonl(folder, *[BAD] * 7, *[GOOD] * 93)
    with pytest.raises(DataError) as error:
        read_source(path)
    lines = str(error.value).splitlines()
    assert lines[0] == (
        "rows.jsonl: 7 of 100 rows are bad, more than data.max_bad=0.05 allows; mend them or raise the limit"
    )
    assert [line.split(": ")[0].strip() for line in lines[1:]] == [f"rows.jsonl:{n}" for n in range(1, 6)] + [
        "and 2 more"
    ]


def test_max_bad_changes_output(folder):
    path = jsonl(folder, *[BAD] * 7, *[GOOD] * 93)
    assert answers(read_source(path, max_bad=0.07)) == ["x"] * 93


def test_nothing_but_bad_rows_stops_whatever_the_budget(folder):
    with pytest.raises(DataError, match=r"^rows.jsonl: all 2 rows are bad; mend them\n  rows.jsonl:1: .*missing.jpg"):
        read_source(jsonl(folder, BAD, "{"), max_bad=1)


@pytest.mark.parametrize(
    "row",
    [
        '{"caption": "nice \\ud83d"}',
        '{"captions": ["x", "\\udc00 nice"]}',
        '{"question": "\\ud83d", "answer": "x"}',
        '{"conversations": [{"from": "human", "value": "x"}, {"from": "gpt", "value": "\\ud83d"}]}',
        '{"caption": "x", "split": "\\ud83d"}',
    ],
)
def test_half_a_character_makes_a_bad_row(folder, row):
    source = read_source(jsonl(folder, GOOD, row.replace("{", '{"image": "a.jpg", ', 1)), max_bad=0.5)
    assert len(source.rows) == 1
    assert source.problems[0].startswith("rows.jsonl:2: ")
    assert "holds half a character, '\\ud" in source.problems[0]


def test_number_of_thousands_of_digits_makes_a_bad_row(folder):
    source = read_source(jsonl(folder, GOOD, f'{{"image": {"1" * 5000}}}'), max_bad=0.5)
    assert source.problems == ["rows.jsonl:2: holds a number of more digits than can be read; mend the line"]


def test_both_halves_of_a_character_are_one(folder):
    assert turns(folder, '{"image": "a.jpg", "caption": "nice \\ud83d\\ude00"}') == [(caption("nice 😀"),)]


def test_many_missing_images_in_a_large_folder_are_told_quickly(folder):
    for number in range(300):
        (folder / f"{number:04}.jpg").touch()
    source = read_source(jsonl(folder, GOOD, *[{"image": f"x{n}.jpg", "caption": "x"} for n in range(3000)]), max_bad=1)
    assert len(source.problems) == 3000
    assert (
        "did you mean" not in source.problems[-1]
    )  # looking for the nearest of many names, 3,000 times, takes minutes


# ------------------------------------------------------------------------------------------- rows as other tools write


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ({"file_name": "a.jpg", "text": "a dog"}, caption("a dog")),
        ({"Image": "a.jpg", "Caption": "a dog"}, caption("a dog")),
        ({"image": "a.jpg", "prefix": "what?", "suffix": "dog"}, Turn("what?", ("dog",))),
        ({"image": "a.jpg", "prefix": "", "suffix": "dog"}, caption("dog")),
        ({"image": "a.jpg", "prompt": "what?", "completion": "dog"}, Turn("what?", ("dog",))),
        ({"images": ["a.jpg"], "query": "what?", "response": "dog"}, Turn("what?", ("dog",))),
        ({"images": ["a.jpg"], "query": "what?", "responses": ["dog", "pup"]}, Turn("what?", ("dog", "pup"))),
        ({"image": "a.jpg", "query": "what?", "label": ["dog"]}, Turn("what?", ("dog",))),
        ({"image": "a.jpg", "question": "what?", "answers": [{"answer": "dog"}] * 2}, Turn("what?", ("dog", "dog"))),
        ({"image": "a.jpg", "label": "dog"}, Turn("what is it?", ("dog",), "class")),
        ({"image": {"path": "a.jpg", "bytes": None}, "caption": "a dog"}, caption("a dog")),
        ({"image": "a.jpg", "question": "<image>\nwhat?", "answer": "dog"}, Turn("<image>\nwhat?", ("dog",), "", True)),
        ({"image": "a.jpg", "caption": "a dog", "prompt": "a drawing of"}, caption("a dog")),
        (
            {
                "image": "a.jpg",
                "prompt": [{"role": "user", "content": "what?"}],
                "completion": [{"role": "assistant", "content": "dog"}],
            },
            Turn("what?", ("dog",), "", True),
        ),
        (
            {"messages": [
                {"role": "user", "content": [{"type": "image", "image": "a.jpg"}, {"type": "text", "text": "what?"}]},
                {"role": "assistant", "content": "dog"},
            ]},
            Turn("<image>\nwhat?", ("dog",), "", True),
        ),
    ],
)  # fmt: skip
def test_keys_of_other_tools(folder, row, expected):
    (sample,) = read_source(jsonl(folder, row)).rows
    assert (sample.images, sample.turns, sample.chat) == ([folder / "a.jpg"], (expected,), False)


CHAT = [{"from": "human", "value": "say two"}, {"from": "gpt", "value": "two"}] * 2


@pytest.mark.parametrize("row", [{"conversations": CHAT}, {"question": "q", "answer": "a"}, {"messages": CHAT}])
@pytest.mark.parametrize("image", [{}, {"image": None}, {"image": []}])
def test_row_without_an_image_is_text_alone(folder, row, image):
    (sample,) = read_source(jsonl(folder, {**row, **image, "id": 3, "model": "", "title": "x"})).rows
    assert list(sample.images) == []


@pytest.mark.parametrize("row", [{"caption": "x"}, {"imgae": "a.jpg", "question": "q", "answer": "a"}])
def test_row_that_lacks_its_image_is_bad(folder, row):
    with pytest.raises(DataError, match="has no image"):
        read_source(jsonl(folder, row))


@pytest.mark.parametrize("pack", [False, True])
def test_conversation_is_a_chat_unless_told_otherwise(folder, pack):
    path = jsonl(folder, {"image": "a.jpg", "conversations": CHAT}, {"image": "a.jpg", "question": "q", "answer": "a"})
    assert [(len(row.turns), row.chat) for row in read_source(path, pack=pack).rows] == [(2, True), (1, False)]
    blind = read_source(path, pack=pack, conversations="blind").rows
    asked = [turn.prompt for row in blind for turn in row.turns]
    assert (asked, {row.chat for row in blind}) == (["say two", "q"], {False})


def test_system_message_is_kept_where_there_is_a_place_for_it(folder):
    one = {"image": "a.jpg", "conversations": [{"from": "system", "value": "be short"}, *CHAT[:2]]}
    path = jsonl(folder, one, {"image": "a.jpg", "system": "be kind", "question": "q", "answer": "a"})
    assert [(row.system, row.chat) for row in read_source(path).rows] == [("be short", True), ("be kind", True)]
    source = read_source(path, system=False)
    assert [(row.system, row.chat) for row in source.rows] == [("", False)] * 2
    assert source.notes == ["2 system messages were left out: processor.prompt.user_with_system has no place for them"]


@pytest.mark.parametrize("images", [[], ["a.jpg"], ["a.jpg", "b.png", "sub/c.webp"]])
def test_tags_that_do_not_fit_the_images_make_a_bad_row(folder, images):
    row = {"image": images, "question": "<image><image>which?", "answer": "the first"}
    with pytest.raises(DataError, match=rf"the text has 2 <image> tags, and there are {len(images)} images"):
        read_source(jsonl(folder, row))


@pytest.mark.parametrize("name", ["val", "valid", "Validation", "dev"])
def test_split_has_several_names(folder, name):
    source = read_source(jsonl(folder, {"image": "a.jpg", "caption": "x", "split": name}))
    assert source.splits == {"dev": 1}
    assert [len(source.samples(split)) for split in ("dev", "val", "validation")] == [1, 1, 1]


def test_csv_and_json_lines_give_the_same_samples_for_the_same_rows(folder):
    rows = [
        {"image": "a.jpg", "caption": "a dog", "question": "what?", "answer": "dog", "split": "val"},
        {"image": "a.jpg", "caption": "a pup", "question": "what?", "answer": "pup", "split": "val"},
        {"image": "b.png", "caption": "a cat", "question": "", "answer": "", "split": ""},
    ]
    lines = "\n".join(",".join(row.values()) for row in rows)
    (folder / "rows.csv").write_text(f"{','.join(rows[0])}\n{lines}\n")
    for pack in (False, True):
        csv, json_lines = (read_source(path, pack=pack) for path in (folder / "rows.csv", jsonl(folder, *rows)))
        assert [(s.images, s.turns, s.split) for s in csv.rows] == [
            (s.images, s.turns, s.split) for s in json_lines.rows
        ]
        assert (csv.turns, csv.splits) == (json_lines.turns, json_lines.splits)


def test_source_says_what_it_read(folder):
    rows = [{"image": image, "caption": c} for image in ("a.jpg", "b.png") for c in ("x", "y")]
    source = read_source(jsonl(folder, *rows, BAD), max_bad=0.5)
    assert (source.form, source.total, source.turns) == ("JSON Lines", 5, "4 captions of 2 images")


def test_folder_of_many_images_is_read_without_looking_at_each(tmp_path, monkeypatch):
    (tmp_path / "images").mkdir()
    for number in range(500):
        (tmp_path / "images" / f"{number}.jpg").touch()
    looked = []
    real = Path.stat
    monkeypatch.setattr(Path, "stat", lambda path, **more: looked.append(path) or real(path, **more))
    rows = [{"image": f"{number}.jpg", "caption": "x"} for number in range(500)]
    assert len(read_source(jsonl(tmp_path, *rows)).rows) == 500
    assert len(looked) < 20


def test_recipe_decides_how_data_are_read(folder):
    conversation = [{"from": "system", "value": "be short"}, *CHAT]
    rows = [{"image": "a.jpg", "conversations": conversation}] + [
        {"image": "a.jpg", "question": f"{n}?", "answers": ["some answer"] * 9} for n in range(9)
    ]
    path = jsonl(folder, *rows)

    def read(*settings):
        rows = open_data(preset("tiny", [f"data.path={path}", *settings])).rows
        return [(len(row.turns), row.chat, row.system) for row in rows]

    assert read() == [(2, True, ""), (9, False, "")]
    assert read("data.conversations=blind") == [(10, False, "")]
    assert read("processor.prompt.user_with_system='{system}:'")[0] == (2, True, "be short")
    chat = ["processor.prompt.turns=chat", "processor.prompt.answers=one"]
    assert read(*chat) == [(2, True, "")] + [(1, False, "")] * 9


def test_built_in_photographs_say_what_they_are():
    source = open_data("photos16")
    assert (source.form, source.total, source.turns) == ("built in", 16, "16 captions of 16 images")
