import tempfile
import unittest

from wordcount import count


class CountTest(unittest.TestCase):
    def test_case_does_not_matter(self):
        self.assertEqual(count(["Sand sand SAND"]), {"sand": 3})

    def test_lines_add_up(self):
        self.assertEqual(count(["one two", "two"]), {"one": 1, "two": 2})

    def test_punctuation_is_no_word(self):
        self.assertEqual(count(["Don't -- 'panic'!"]), {"don't": 1, "panic": 1})

    def test_letters_of_any_alphabet(self):
        self.assertEqual(count(["Straße, STRASSE; été"]), {"strasse": 2, "été": 1})

    def test_a_file(self):
        with tempfile.TemporaryFile("w+", encoding="utf-8") as file:
            file.write("box in a box\n")
            file.seek(0)
            self.assertEqual(count(file), {"box": 2, "in": 1, "a": 1})


if __name__ == "__main__":
    unittest.main()
