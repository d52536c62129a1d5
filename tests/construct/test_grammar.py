"""English for names: articles, plurals, pronouns, adjectives in their order."""

import pytest

from insightedit.construct import grammar


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("wine bottle", "a wine bottle"), ("apple", "an apple"), ("hourglass", "an hourglass"), ("house", "a house"),
        ("umbrella", "an umbrella"), ("unicorn", "a unicorn"), ("uniform", "a uniform"), ("utensil", "a utensil"),
        ("used car", "a used car"), ("unopened box", "an unopened box"), ("unusual hat", "an unusual hat"),
        ("uncle", "an uncle"), ("one-way sign", "a one-way sign"), ("old one-way sign", "an old one-way sign"),
        ("X-ray", "an X-ray"), ("tv", "a TV"), ("LED lamp", "an LED lamp"), ("ukulele", "a ukulele"),
        ("European flag", "a European flag"), ("orange", "an orange"), ("urn", "an urn"), ("8-ball", "an 8-ball"),
        ("water", "some water"), ("curtains", "some curtains"), ("sunglasses", "a pair of sunglasses"),
        ("scissors", "a pair of scissors"), ("bus", "a bus"), ("glass", "a glass"), ("cactus", "a cactus"),
        ("people", "some people"), ("sheep", "a sheep"), ("cup of coffee", "a cup of coffee"),
        ("man in beige coat", "a man in a beige coat"), ("man in orange coat", "a man in an orange coat"),
    ],
)  # fmt: skip
def test_the_indefinite_article_goes_by_sound_and_number(name: str, said: str) -> None:
    assert grammar.a(name) == said


@pytest.mark.parametrize(
    ("one", "many"),
    [
        ("dandelion", "dandelions"), ("wine glass", "wine glasses"), ("box", "boxes"), ("brush", "brushes"),
        ("bench", "benches"), ("cherry", "cherries"), ("key", "keys"), ("knife", "knives"), ("leaf", "leaves"),
        ("roof", "roofs"), ("man", "men"), ("policeman", "policemen"), ("woman", "women"), ("person", "people"),
        ("child", "children"), ("mouse", "mice"), ("tooth", "teeth"), ("toothbrush", "toothbrushes"),
        ("sheep", "sheep"), ("bus", "buses"), ("tomato", "tomatoes"), ("photo", "photos"),
        ("piece of fruit", "pieces of fruit"), ("taxi", "taxis"), ("axe", "axes"),
        ("cup of coffee", "cups of coffee"), ("man in beige coat", "men in beige coat"), ("sunglasses", "sunglasses"),
    ],
)  # fmt: skip
def test_plurals_change_the_head(one: str, many: str) -> None:
    assert grammar.plural(one) == many


@pytest.mark.parametrize(
    "noun", ["dandelion", "lens", "box", "brush", "bench", "cherry", "knife", "man", "mouse", "tomato"]
)
def test_singular_undoes_plural(noun: str) -> None:
    assert grammar.singular(grammar.plural(noun)) == noun
    assert grammar.singular(noun) == noun


@pytest.mark.parametrize(
    ("name", "number", "word"),
    [
        ("wine bottle", "one", "it"), ("curtains", "many", "them"), ("water", "mass", "it"), ("bus", "one", "it"),
        ("glass of water", "one", "it"), ("girl", "one", "her"), ("man in black coat", "one", "him"),
        ("people", "many", "them"), ("lens", "one", "it"), ("bananas", "many", "them"), ("tennis racket", "one", "it"),
    ],
)  # fmt: skip
def test_number_and_pronoun(name: str, number: str, word: str) -> None:
    assert grammar.number(name) == number
    assert grammar.pronoun(name) == word


@pytest.mark.parametrize(
    ("name", "look", "said"),
    [
        ("wine bottle", "blue", "blue wine bottle"), ("small car", "red", "small red car"), ("brush", None, "brush"),
        ("blue brush", "blue", "blue brush"), ("second fir", "purple", "second purple fir"),
        ("left eye", "blue", "blue left eye"),
        ("cup of coffee", "white", "white cup of coffee"), ("orange", "orange", "orange"),
        ("box", "polka-dotted", "polka-dotted box"),
    ],
)  # fmt: skip
def test_a_look_stands_in_its_place_and_never_twice(name: str, look: str | None, said: str) -> None:
    assert grammar.with_look(name, look) == said


@pytest.mark.parametrize(
    ("name", "bare"),
    [
        ("pink brush", "brush"),
        ("small red car", "small car"),
        ("orange", "orange"),
        ("wooden box", "box"),
        ("fig", "fig"),
    ],
)
def test_words_of_look_can_be_taken_off_but_a_head_stays(name: str, bare: str) -> None:
    assert grammar.without_look(name) == bare


@pytest.mark.parametrize(
    ("name", "fresh"),
    [
        ("right tower", "tower"),
        ("second fir", "fir"),
        ("left eye", "left eye"),
        ("upper left window", "window"),
        ("left", "left"),
    ],
)
def test_a_thing_still_to_come_has_no_place_in_its_name(name: str, fresh: str) -> None:
    assert grammar.without_deixis(name) == fresh


def test_lists_and_sentences() -> None:
    assert grammar.listing(["a"]) == "a"
    assert grammar.listing(["a", "b"], "or") == "a or b"
    assert grammar.listing(["a", "b", "c"]) == "a, b and c"
    assert grammar.sentence("what is  there ? remove it") == "What is there? remove it."
