from facemargin.counting import counted


def test_one_and_many():
    assert [counted(number, "face") for number in (0, 1, 2, 2000)] == ["0 faces", "1 face", "2 faces", "2,000 faces"]
    assert [counted(number, "person", "people") for number in (1, 2)] == ["1 person", "2 people"]
