import pytest

TWO = [("a.jpg", "", ("a red, big dog",)), ("b.jpg", "", ("a cat",))]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("rows.csv", 'image,caption\na.jpg,"a red, big dog"\nb.jpg,a cat\n'),
        ("rows.csv", 'image, caption\na.jpg, "a red, big dog"\nb.jpg, a cat\n'),
        ("rows.csv", 'Image , CAPTION\r\n"a.jpg","a red, big dog"\r\n"b.jpg","a cat"\r\n,\r\n'),
        ("rows.csv", 'a.jpg,"a red, big dog"\nb.jpg,a cat\n'),
        ("rows.csv", "image;caption\na.jpg;a red, big dog\nb.jpg;a cat\n"),
        ("rows.csv", 'file_name,text\na.jpg,"a red, big dog"\nb.jpg,a cat'),
        ("rows.tsv", "image\tcaption\na.jpg\ta red, big dog\nb.jpg\ta cat\n"),
        ("captions.txt", 'image,caption\na.jpg,"a red, big dog"\nb.jpg,a cat\n'),
        ("results.csv", "image_name| comment_number| comment\na.jpg| 0| a red, big dog\nb.jpg| 0| a cat\n"),
        ("Flickr8k.token.txt", "a.jpg#0\ta red, big dog\nb.jpg#0\ta cat\n"),
    ],
)
def test_tables_of_every_dialect_say_the_same(folder, learned, name, text):
    folder.images("a.jpg", "b.jpg").write(name, text)
    assert learned(name) == learned("") == TWO


def test_flickr8k_captions_of_an_image_are_joined(folder, learned):
    folder.images("Flicker8k_Dataset/a.jpg").write("Flickr8k.token.txt", "a.jpg#0\tA dog .\na.jpg#1\tOne dog .\n")
    assert learned("Flickr8k.token.txt") == [("Flicker8k_Dataset/a.jpg", "", ("A dog .", "One dog ."))]


@pytest.mark.parametrize(
    ("header", "line", "expected"),
    [
        ("image,caption,caption", "a.jpg,one,two", ("", ("one", "two"))),
        ("image,caption_1,caption_2", "a.jpg,one,", ("", ("one",))),
        ("image,captions", 'a.jpg,"[""one"", ""two""]"', ("", ("one", "two"))),
        ("image,question,answer,answer", "a.jpg,what?,one,two", ("what?", ("one", "two"))),
        ("image,prefix,suffix", "a.jpg,what?,one", ("what?", ("one",))),
        ("image,label", "a.jpg,dog", ("what is it?", ("dog",))),
    ],
)
def test_columns_of_a_table(folder, learned, header, line, expected):
    folder.images("a.jpg").write("rows.csv", f"{header}\n{line}\n")
    assert learned("rows.csv") == [("a.jpg", *expected)]


def test_empty_cells_are_as_if_their_columns_were_missing(folder, learned):
    lines = "image,caption,question,answer\na.jpg,a dog,,\nb.jpg,,what?,a cat\n"
    folder.images("a.jpg", "b.jpg").write("rows.csv", lines)
    assert learned("rows.csv") == [("a.jpg", "", ("a dog",)), ("b.jpg", "what?", ("a cat",))]


def test_column_that_is_there_twice_is_named(folder):
    folder.images("a.jpg").write("rows.csv", "image,split,caption,split\na.jpg,train,x,dev\n")
    with pytest.raises(ValueError, match=r"rows.csv: has the column split twice"):
        folder.read("rows.csv")


def test_quotation_mark_spoils_its_own_line_and_no_other(folder, learned):
    lines = ["image,caption", 'a.jpg,"a "big" dog"', "b.jpg,a cat", 'a.jpg,"a dog', 'b.jpg,"a pup"', "b.jpg,x"]
    folder.images("a.jpg", "b.jpg").write("rows.csv", "\n".join(lines))
    source = folder.read("rows.csv", max_bad=0.5)
    assert [problem.split(": ")[0] for problem in source.problems] == ["rows.csv:2", "rows.csv:4"]
    assert [turn.answers for row in source.rows for turn in row.turns] == [("a cat", "a pup", "x")]


def test_quotation_mark_that_is_never_closed_is_named_with_its_line(folder):
    folder.images("a.jpg").write("rows.csv", 'image,caption\na.jpg,x\na.jpg,"a dog\na.jpg,y\n')
    with pytest.raises(ValueError, match=r"rows.csv:3: opens a quotation mark that is never closed"):
        folder.read("rows.csv")


def test_text_may_have_several_lines_in_quotes(folder, learned):
    folder.images("a.jpg").write("rows.csv", 'image,caption\na.jpg,"a dog\nand a cat"\n')
    assert learned("rows.csv") == [("a.jpg", "", ("a dog\nand a cat",))]


def test_tabs_need_no_quotation_marks(folder, learned):
    folder.images("a.jpg").write("rows.tsv", 'image\tcaption\na.jpg\t"Hello" she says\n')
    assert learned("rows.tsv") == [("a.jpg", "", ('"Hello" she says',))]


def test_excels_unicode_text_is_read(folder, learned):
    (folder.images("a.jpg").path / "rows.txt").write_bytes("image\tcaption\r\na.jpg\tein Hündchen\r\n".encode("utf-16"))
    assert learned("rows.txt") == [("a.jpg", "", ("ein Hündchen",))]


def test_missing_cell_of_a_table_with_bars_is_named(folder):
    lines = "image_name| comment_number| comment\na.jpg| 0| a dog\na.jpg| 4   a pup\n"
    folder.images("a.jpg").write("results.csv", lines)
    assert folder.read("results.csv", max_bad=0.5).problems == ["results.csv:3: has 2 cells, not 3; mend the line"]


def test_text_that_is_no_table_is_quoted(folder):
    folder.write("notes.txt", "Dear diary,\n")
    with pytest.raises(ValueError, match="begins with 'Dear diary,', which is no table"):
        folder.read("notes.txt")
