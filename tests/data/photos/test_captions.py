"""Captions of three levels: read, held to lengths, languages and variety; openings of all of them."""

import json
import re

import pytest

from amalia_vl_hf.data.dataset import RejectedError
from amalia_vl_hf.data.photos.captions import (
    ImageCaption,
    check_captions,
    is_stock,
    opening,
    read_captions,
    surplus_openings,
)

PT = {
    "short": "Um elétrico amarelo sobe uma rua estreita de Lisboa.",
    "medium": "Um elétrico amarelo sobe uma rua estreita e inclinada de Lisboa, entre prédios com azulejos azuis e "
    "roupa estendida às janelas.",
    "detailed": "Um elétrico amarelo e branco sobe uma rua estreita e inclinada, com carris que brilham ao sol. De "
    "ambos os lados há prédios de três andares com azulejos azuis, varandas de ferro e roupa estendida às janelas. "
    "Duas pessoas estão a atravessar a rua à frente do elétrico, e uma mulher de vestido vermelho está à porta de uma "
    "pequena mercearia, a olhar para o telemóvel.",
}
EN = {
    "short": "A yellow tram climbs a narrow street.",
    "medium": "A yellow tram climbs a narrow and steep street in Lisbon, between buildings with blue tiles and "
    "washing at the windows.",
    "detailed": "A yellow and white tram climbs a narrow and steep street, whose rails shine in the sun. On both "
    "sides there are buildings of three storeys with blue tiles, iron balconies and washing at the windows. Two "
    "people cross the street in front of the tram, and a woman in a red dress stands at the door of a small shop.",
}


def test_good_captions_pass_in_both_languages():
    check_captions(PT, "pt")
    check_captions(EN, "en")


@pytest.mark.parametrize("fence", ["{}", "```json\n{}\n```", "```\n{}\n```\n"])
def test_json_is_read_with_or_without_its_fence(fence):
    answer = json.dumps({"curta": PT["short"], "média": PT["medium"] + "\n", "detalhada": PT["detailed"]})
    assert read_captions(fence.replace("{}", answer), "pt") == PT


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ("Aqui está a legenda.", "no JSON"),
        ("[" * 100_000, "no JSON"),
        ('["uma", "duas", "três"]', "other keys"),
        ('{"curta": "a", "média": "b"}', "other keys"),
        ('{"short": "a", "medium": "b", "detailed": "c"}', "other keys"),
        ('{"curta": "a", "média": 3, "detalhada": "c"}', "no text"),
        ('{"curta": "a", "média": "b", "detalhada": "  "}', "no text"),
    ],
)
def test_an_answer_of_another_form_is_rejected(answer, reason):
    with pytest.raises(RejectedError, match=reason):
        read_captions(answer, "pt")


@pytest.mark.parametrize(
    ("changes", "language", "reason"),
    [
        ({"short": "Elétrico."}, "pt", "too short or too long: short: 1 words"),
        ({"short": PT["medium"]}, "pt", "too short or too long: short: 21 words"),
        ({"medium": PT["short"] + " Está sol."}, "pt", "too short or too long: medium: 11 words"),
        ({"detailed": " ".join([PT["detailed"]] * 9)}, "pt", "too short or too long: detailed"),
        ({"medium": " ".join(PT["detailed"].split()[:50])}, "pt", "levels of captions that do not differ: medium 50"),
        ({"medium": EN["medium"]}, "pt", "another language: medium"),
        (EN, "pt", "another language: medium"),
        (PT, "en", "another language: short"),
        (
            {"medium": "Um bonde amarelo está subindo a rua, e o pessoal no ponto de ônibus está olhando o celular."},
            "pt",
            "Brazilian",
        ),
    ],
)
def test_faulty_captions_are_rejected(changes, language, reason):
    with pytest.raises(RejectedError, match=re.escape(reason)):
        check_captions({**(PT if language == "pt" else EN), **changes}, language)


@pytest.mark.parametrize(
    "text",
    [
        "A imagem mostra um gato.",
        "a fotografia a preto e branco retrata uma rua",
        "Nesta imagem, um gato dorme.",
        "Na imagem vê-se um gato.",
        "Esta é uma foto que mostra um gato.",
        "Vemos um gato.",
        "As imagens apresentam dois gatos.",
        "The image shows a cat.",
        "This is a photo that shows a cat.",
        "In this picture, a cat sleeps.",
        "A close-up photo depicts a cat.",
        "**A imagem** mostra um gato.",
    ],
)
def test_stock_openings_are_known(text):
    assert is_stock(text)


@pytest.mark.parametrize(
    "text",
    [
        "Um gato mostra os dentes.",
        "Uma mulher segura uma fotografia antiga.",
        "Imaginativo mural numa parede.",
        "A museum shows pictures on its walls.",
        "Duas crianças olham para a imagem de um santo, que mostra o peito.",
    ],
)
def test_what_only_speaks_of_images_is_not_stock(text):
    assert not is_stock(text)


def captions(texts, language="pt", level="short"):
    return [ImageCaption(f"image{number}", language, level, text) for number, text in enumerate(texts)]


def test_stock_openings_are_left_out_above_their_share():
    varied = [f"Objeto{number} um dois três." for number in range(95)]
    at_the_share = captions([f"A imagem mostra coisa{number}." for number in range(5)] + varied)
    assert surplus_openings(at_the_share) == set()
    many = captions([f"A imagem mostra coisa{number}." for number in range(40)] + varied)
    left_out = surplus_openings(many)
    staying = [caption for caption in many if caption.image not in left_out]
    assert len(left_out) == 35
    assert sum(is_stock(caption.text) for caption in staying) / len(staying) == 0.05
    assert surplus_openings(many[::-1]) == left_out  # drawn by ids, not by order


def test_one_opening_is_not_that_of_all():
    repeated = captions(
        [f"Uma mulher de vestido {number}" for number in range(60)] + [f"o{n} p q r" for n in range(90)]
    )
    left_out = surplus_openings(repeated)
    staying = [opening(caption.text) for caption in repeated if caption.image not in left_out]
    assert staying.count("uma mulher de vestido") == 10 <= 0.1 * len(staying)
    assert surplus_openings(captions(["Um gato dorme."])) == set()


def test_languages_and_levels_are_counted_apart_and_an_image_goes_whole():
    stock = [f"A imagem mostra coisa{number}." for number in range(20)]
    both = captions(stock, level="short") + captions([f"X{number} b c d" for number in range(20)], level="medium")
    assert surplus_openings(both) == {f"image{number}" for number in range(20)}
    english = captions([f"Y{number} b c d" for number in range(20)], language="en")
    assert surplus_openings(english + captions(stock[:1])) == {"image0"}
