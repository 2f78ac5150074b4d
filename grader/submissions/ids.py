"""Whose a hand-in is: an id that depends on its own name and on nothing else.

Two names are of one person if they differ in capitals, in how Unicode writes a letter,
in blanks, in dots or blanks at the end, or in signs that cannot be seen; and of what a
learning platform adds, only the person counts, never the number of the attempt.
"""

import hashlib
import re
import unicodedata
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime

UNSAFE = re.compile(r"[^A-Za-z0-9_.@+-]+")
MOST_NAME = 100  # characters of a folder of results
DIGEST_LENGTH = 16  # nobody finds two names with the same; eight could be searched for
# A name like a made id gets a digest, too, so that nobody can ask for another's.
MADE_ID = re.compile(rf"-[0-9a-f]{{{DIGEST_LENGTH}}}\Z", re.IGNORECASE)
# What a folder of results holds beside those of submissions.
TAKEN = ("run.json", "grades.csv", "index.html")
# lovelaceada_LATE_12345_67890_assignment-1: person, id of the person, of the upload.
CANVAS = re.compile(
    r"(?P<person>[^_\s]+)(?:_LATE)?_(?P<user>\d{2,})_(?P<attempt>\d{2,})_(?P<file>.+)",
    re.DOTALL,
)
# Ada Lovelace_12345_assignsubmission_file_: the same number for every attempt.
MOODLE = re.compile(
    r"(?P<person>.+)_(?P<user>\d+)_assignsubmission_[a-z]+(?:[_.].*)?", re.DOTALL
)
# Detector_ada12_attempt_2026-10-02-10-15-00_assignment
BLACKBOARD = re.compile(
    r"(?P<person>.+)_attempt_(?P<attempt>\d{4}(?:-\d\d){5})(?:[_.].*)?", re.DOTALL
)
# 12345-67890 - Ada Lovelace - Oct 2, 2026 1015 AM
BRIGHTSPACE = re.compile(
    r"(?P<user>\d+)-\d+ ?- (?P<person>.+?) ?- (?P<date>[A-Z][a-z]{2} \d.*)", re.DOTALL
)
BRIGHTSPACE_DATE = "%b %d, %Y %I%M %p"


@dataclass(frozen=True)
class Person:
    """What the name of a hand-in says.

    Attributes:
        key: the same for all hand-ins of one person.
        attempt: a later one has a larger number; 0 where the name has none.
    """

    key: str
    attempt: int = 0


def person_of(name: str) -> Person:
    """Whose a hand-in is, and which attempt.

    Example:
        >>> person_of("lovelaceada_12345_67890_assignment-1")
        Person(key='lovelaceada_12345', attempt=67890)
        >>> person_of("Ada  Lovelace. ").key
        'ada lovelace'
    """
    if found := CANVAS.fullmatch(name):
        return Person(
            _plain(f"{found['person']}_{found['user']}"), _number(found["attempt"])
        )
    if found := MOODLE.fullmatch(name):
        return Person(_plain(f"{found['person']}_{found['user']}"))
    if found := BLACKBOARD.fullmatch(name):
        attempt = _number(found["attempt"].replace("-", ""))
        return Person(_plain(found["person"]), attempt)
    if found := BRIGHTSPACE.fullmatch(name):
        attempt = 0
        with suppress(ValueError):
            date = datetime.strptime(found["date"].strip(), BRIGHTSPACE_DATE)
            attempt = int(date.strftime("%Y%m%d%H%M"))
        return Person(_plain(f"{found['user']} {found['person']}"), attempt)
    return Person(_plain(name))


def _number(digits: str) -> int:
    return int(digits[-MOST_NAME:])  # Python reads no number of thousands of digits


def _plain(name: str) -> str:
    """The name without what may differ between two hand-ins of one person."""
    seen = "".join(letter for letter in name if unicodedata.category(letter) != "Cf")
    text = unicodedata.normalize("NFC", unicodedata.normalize("NFC", seen).lower())
    return " ".join(text.split()).rstrip(" .")


def id_of(name: str) -> str:
    """The folder of results of the person that a hand-in's name tells.

    Example:
        >>> id_of("Ada"), id_of("ada.")
        ('ada', 'ada')
    """
    return exact_id(person_of(name).key)


def exact_id(key: str) -> str:
    """A safe name of a folder, another for each text.

    Example:
        >>> exact_id("ada-2"), exact_id("Run.json").startswith("Run.json-")
        ('ada-2', True)
    """
    safe = UNSAFE.sub("_", key)[:MOST_NAME].strip("._").lstrip("-") or "submission"
    if safe == key and safe.lower() not in TAKEN and not MADE_ID.search(safe):
        return safe
    digest = hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()
    return f"{safe}-{digest[:DIGEST_LENGTH]}"
