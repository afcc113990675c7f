"""Files of all formats become items; a bad line costs itself only."""

import gzip
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seqd.errors import InvalidInput
from seqd.inputs.reading import InputFile
from seqd_schemas import FileSource, Item, RefusedItem


def read(path, **fields):
    keywords = {name: fields.pop(name) for name in ("skip", "roots", "rules") if name in fields}
    return list(InputFile(FileSource(path=str(path), **fields), **keywords).items())


def a_file(folder, name, content):
    path = folder / name
    content = content.encode() if isinstance(content, str) else content
    path.write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
    return path


def texts(entries):
    return [(e.custom_id, e.text if isinstance(e, Item) else e.refused.message) for e in entries]


@pytest.mark.parametrize("name", ["a.jsonl", "a.jsonl.gz", "A.JSONL"])
def test_jsonl_holds_objects_and_strings_and_may_be_compressed(tmp_path, name):
    path = a_file(tmp_path, name, '{"id": "x", "text": "one"}\n\n"two"\r\n{"text": "three"}')

    assert texts(read(path)) == [("x", "one"), ("line-3", "two"), ("line-4", "three")]


def test_each_bad_json_line_is_refused_with_its_number_and_the_good_ones_go_on(tmp_path):
    lines = ['"a"', "{", '"b"', "[1]", "null", "[" * 100_000, '{"text": "\\ud800"}', '"c"']
    path = a_file(tmp_path, "a.jsonl", "\n".join(lines))

    entries = read(path)

    assert [(e.custom_id, isinstance(e, Item)) for e in entries] == [
        ("line-1", True),
        ("line-2", False),
        ("line-3", True),
        ("line-4", False),
        ("line-5", False),
        ("line-6", False),
        ("line-7", False),
        ("line-8", True),
    ]
    assert entries[1].refused.message == (
        "line 2: it is not JSON (Expecting property name enclosed in double quotes, at column 2). "
        "Each line must be one whole JSON object or string."
    )
    assert entries[3].refused.message == (
        "line 4: its JSON value is of type list; allowed: an object or a string."
    )
    assert entries[6].refused.code == "decode_error"


def test_nesting_that_only_the_standard_library_reads_is_read(tmp_path):
    path = a_file(tmp_path, "a.jsonl", '{"text": "deep", "note": ' + "[" * 300 + "]" * 300 + "}")

    assert texts(read(path)) == [("line-1", "deep")]


def test_lines_are_items_without_their_ends_and_blank_ones_are_left_out(tmp_path):
    path = a_file(tmp_path, "a.txt", b"\xef\xbb\xbfone\r\n\n  \n two \nthree")

    assert texts(read(path)) == [("line-1", "one"), ("line-4", " two "), ("line-5", "three")]


def test_csv_takes_quoted_newlines_commas_and_quotes(tmp_path):
    path = a_file(tmp_path, "a.csv", 'id,text\r\n1,"a,\n""b"""\r\n\r\n,c\r\n')

    assert texts(read(path)) == [("1", 'a,\n"b"'), ("line-5", "c")]


@pytest.mark.parametrize("name", ["a.csv", "a.csv.gz"])
def test_a_csv_quote_that_is_never_closed_costs_its_own_line_only(tmp_path, name):
    rows = [f"{number},text {number}\n" for number in range(2, 200)]
    rows[3] = '5,"never closed\n'
    path = a_file(tmp_path, name, "id,text\n" + "".join(rows))

    entries = read(path)

    assert len(entries) == 198
    assert [e.custom_id for e in entries if isinstance(e, RefusedItem)] == ["line-5"]
    assert entries[3].refused.message == (
        "line 5: it is not CSV (unexpected end of data). Close each quote, and double each one "
        "inside a field."
    )
    assert entries[-1] == Item(custom_id="199", text="text 199")


def test_csv_rows_of_another_width_bad_bytes_and_empty_texts_are_refused(tmp_path):
    path = a_file(tmp_path, "a.csv", b'id,text\n1,a,b\n2,"x\xff\ny"\n3,\n4,ok\n')

    wide, undecodable, empty, good = read(path)

    assert wide.refused.message == (
        "line 2: it has 3 fields, the header has 2. Quote a field that holds a comma."
    )
    assert (undecodable.custom_id, undecodable.refused.code) == ("line-3", "decode_error")
    assert (empty.custom_id, empty.refused.message) == ("3", "line 5: text is empty.")
    assert good == Item(custom_id="4", text="ok")


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({}, "'text'; {} Name the column with the text as text_field (--text-field)"),
        *(
            (
                {"text_field": "review", f"{name}_field": "key"},
                f"'key'; {{}} Name the column with the {what} as {name}_field (--{name}-field), or "
                "leave that out",
            )
            for name, what in (("id", "identifier"), ("label", "label"))
        ),
    ],
)
def test_a_csv_without_a_column_that_is_due_or_named_is_told_its_columns(tmp_path, fields, said):
    path = a_file(tmp_path, "a.csv", "id,review\n1,a\n")

    with pytest.raises(InvalidInput) as raised:
        read(path, **fields)

    header = said.format("its header has: id, review.")
    assert str(raised.value) == f"{path} has no column {header}"
    assert texts(read(path, text_field="review")) == [("1", "a")]


ROWS = st.lists(
    st.tuples(
        st.text(st.characters(codec="utf-8", categories=["L", "P"]), min_size=1, max_size=5),
        st.text(st.characters(codec="utf-8"), max_size=20).map(lambda text: f"t{text}"),
    ),
    min_size=1,
    max_size=12,
)


@given(rows=ROWS, name=st.sampled_from(["a.jsonl", "a.csv.gz"]))
def test_whatever_the_fields_hold_they_are_read_as_they_were_written(tmp_path_factory, rows, name):
    records = [{"id": key, "text": text} for key, text in rows]
    lines = [json.dumps(record) for record in records]
    if "csv" in name:
        quoted = [[cell.replace('"', '""') for cell in row] for row in rows]
        lines = ["id,text", *(f'"{key}","{text}"' for key, text in quoted)]
    path = a_file(tmp_path_factory.mktemp("rows"), name, "\r\n".join(lines))

    entries = read(path)

    assert [(e.custom_id, e.text) for e in entries] == rows


def test_a_folder_gives_its_labels_files_in_order_without_unsup(tmp_path):
    for name in ("pos/2_9.txt", "pos/1_8.txt", "neg/0_1.txt", "unsup/0_0.txt", "pos/notes.md"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(f"text of {name}")
    (tmp_path / "pos/3_9.txt").write_bytes(b"\xff")
    (tmp_path / "pos/4_9.txt").symlink_to("/etc/hostname")

    entries = read(tmp_path)

    assert [e.custom_id for e in entries] == ["neg/0_1", "pos/1_8", "pos/2_9", "row-4", "row-5"]
    assert entries[0].text == "text of neg/0_1.txt"
    assert entries[3].refused.message.startswith("pos/3_9.txt: byte 0xff at byte 0 is not UTF-8")
    assert entries[4].refused.code == "invalid_input"
