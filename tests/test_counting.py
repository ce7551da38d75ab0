from facemargin.counting import counted, some_of


def test_one_and_many():
    assert [counted(number, "face") for number in (0, 1, 2, 2000)] == ["0 faces", "1 face", "2 faces", "2,000 faces"]
    assert [counted(number, "person", "people") for number in (1, 2)] == ["1 person", "2 people"]


def test_some_of_many_and_how_many_more():
    assert some_of([]) == ""
    assert some_of({"b", "a"}) == "a, b"
    assert some_of(range(6)) == "0, 1, 2, 3 and 2 more"
    assert some_of("cab", shown=1) == "a and 2 more"
