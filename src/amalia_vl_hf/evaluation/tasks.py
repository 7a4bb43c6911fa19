"""Benchmarks, each one a value: where its rows are, how they are asked, and how answers are counted.

Prompts, splits and token limits are those of the official suite (AMALIA-LLM/amalia-vl-eval at 29aae6b), whose tasks
are Apache-2.0, word for word: they are the protocol. What nobody could look up is `UNKNOWN`: revisions are
recorded at the first download, licences are on the datasets' pages, and where no dataset is known, rows must be given.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

from ..fields import unknown

Protocol = Literal["published", "corrected"]
PROTOCOLS: tuple[Protocol, ...] = ("published", "corrected")
UNKNOWN = "unknown"
# Scorers of tasks whose answers are read off the picture: they stay in its language (AMALIA-VL, 7.1.2).
READ_OFF = frozenset(("anls", "ocrbench", "vqa", "cer", "wer", "box", "cc_ocr"))


@dataclass(frozen=True)
class Columns:
    """Where a dataset keeps what a question needs.

    Args:
        question: The question's text.
        references: The answer, or several.
        options: One column with a list, or with the text of one; or one column an option.
        images: Columns of images, each a cell or a list of them. Those that a text names as `<image 1>` are taken from
            `image_1` and so on, where this is `"numbered"`.
        videos: Columns of videos, each a cell or a list of them.
        category: What the score is also given by.
        identity: What tells rows apart; rows of MME that share it are a pair.
        dataset: What OCRBench calls its parts.
        box: A box, in pixels: left, top, width, height.
        hint: What may stand before the question.
        translations: What an answer is that translates what it should have read, one or several.
    """

    question: str = "question"
    references: str = "answer"
    options: tuple[str, ...] = ()
    images: tuple[str, ...] = ("image",)
    videos: tuple[str, ...] = ()
    category: str = "category"
    identity: str = "question_id"
    dataset: str = "dataset"
    box: str = "bbox"
    hint: str = ""
    translations: str = "translations"


@dataclass(frozen=True)
class Benchmark:
    """One benchmark.

    Args:
        name: As the official suite calls it.
        dataset: On the Hub.
        prompt: What is asked: `{question}` and `{options}` are the row's.
        scorer: Which rule an answer is held to, of `counting.scoring`.
        max_new_tokens: Of an answer. The suite's own wrapper takes 1024 where a task says nothing.
        title: Its column in Table 3 of the paper.
        subset: The dataset's configuration.
        file: The one file of the dataset, where it has several tasks in one.
        split: Of the dataset.
        revision: Commit of the dataset.
        aggregate: How items become one figure, of `counting.totals`.
        points: What the figure is multiplied by in tables.
        unit: What is drawn anew for intervals: `"row"`, `"image"`, `"identity"` for pairs, which are of one category,
            or `"group"` for all of one identity, whatever their category.
        columns: Where the row's parts are.
        options: How one option is written.
        removed: Pieces that are taken out of a question.
        hint: How a hint and a question are written, where a row has a hint.
        open_prompt: What is asked in the place of `prompt` where a row has no options.
        reference_form: `"text"`, or `"index"` for options that are counted from 0.
        row_form: `"plain"`, or what is done to a row first: `"expressions"` makes one row an expression, with its box
            relative to the image; `"outlined"` draws the box in red; `"capitalised"` is TextVQA's `str.capitalize`;
            `"turns"` asks a conversation turn by turn, with the model's own answers between them; `"completions"` has
            two of them, the right one first, which are asked for in both orders where a letter is to be said;
            `"base64"` has images as the text of their files.
        asks: `"answer"`, or `"likelihood"`: how likely each option is as an answer, and nothing is generated.
        reasoning: Pairs of tags around reasoning, which is cut out before anything is counted.
        held_in: Whether the paper trained on this benchmark's training set (its dagger).
        box_form: `"xyxy"` or `"xywh"`, as the question asks for boxes.
        box_scale: What it calls the whole image: 1 or 1000.
        lower_is_better: Whether a small figure is a good one.
        licence: Of the dataset.
        note: What a reader of its figures should know.
    """

    name: str
    dataset: str
    prompt: str
    scorer: str
    max_new_tokens: int
    title: str = ""
    subset: str | None = None
    file: str | None = None
    split: str = "test"
    revision: str = UNKNOWN
    aggregate: str = "mean"
    points: float = 100.0
    unit: str = "row"
    columns: Columns = Columns()
    options: str = "{letter}. {option}"
    removed: tuple[str, ...] = ()
    hint: str = "{question}"
    open_prompt: str | None = None
    reference_form: str = "text"
    row_form: str = "plain"
    asks: str = "answer"
    reasoning: tuple[tuple[str, str], ...] = ()
    held_in: bool = False
    box_form: str = "xyxy"
    box_scale: float = 1.0
    lower_is_better: bool = False
    licence: str = UNKNOWN
    note: str = ""

    @property
    def draws(self) -> bool:
        """Whether the official suite draws an option at random for an answer that names none."""
        return self.scorer == "mmmu"

    @property
    def reads_off(self) -> bool:
        """Whether answers are read off the picture, in its language."""
        return self.scorer in READ_OFF


_DRAWN = (
    "for an answer that names no option the official suite draws one at random; here it is wrong by both protocols,"
    " and counted as drawn"
)
_SHORT = "{question}\nResponde à pergunta utilizando uma palavra ou frase."
_LETTER = "Responde diretamente com a letra da opção das opções disponíveis."
_BOX = (
    'As coordenadas de uma "bounding box" são especificadas no formato [{form}]. {scale} Por favor, fornece as'
    ' coordenadas da "bounding box" que esta frase descreve: {{question}}'
)
_CORNERS = "x superior esquerdo, y superior esquerdo, x inferior direito, y inferior direito"
_SIZE = "x superior esquerdo, y superior esquerdo, largura, altura"
_FLOATS = "Todos os valores são números de vírgula flutuante limitados entre 0 e 1."
_INTEGERS = "Todos os valores são números inteiros limitados entre 0 e 1000."
_THINKING = ("<think>", "</think>")
_ABCD = ("choice_a", "choice_b", "choice_c", "choice_d")

_REFCOCO_REC = Benchmark(
    "refcoco_bbox_rec_pt",
    "amalia-llm/RefCOCO-PT",
    _BOX.format(form=_CORNERS, scale=_FLOATS),
    "box",
    1024,
    "RefCOCO-REC",
    unit="image",
    columns=Columns(question="answer", references="bbox"),
    row_form="expressions",
)

AMALIA_VL_EVAL_PT = (
    Benchmark(
        "mme_pt", "amalia-llm/MME-PT", _SHORT, "yes_no_mme", 16, "MME", aggregate="mme", points=1, unit="identity",
        removed=(" Please answer yes or no.",), held_in=True,
        note="perception and cognition together, of 2800",
    ),
    Benchmark(
        "mmmu_pt", "amalia-llm/MMMU-PT",
        "{question}\n{options}\n\nResponde diretamente com a letra da opção das escolhas disponíveis.",
        "mmmu", 128, "MMMU", split="validation", aggregate="rounded", held_in=True,
        columns=Columns(options=("options",), images=("numbered",), identity="id"),
        open_prompt="{question}\n\nResponde à pergunta utilizando uma palavra ou frase.", note=_DRAWN,
    ),
    Benchmark(
        "mmstar_pt", "amalia-llm/MMStar-PT", "{question}\n" + _LETTER, "letter_mmstar", 1024, "MMStar",
        split="validation", aggregate="category_means", held_in=True,
        columns=Columns(category="l2_category", identity="index"),
        removed=(" Please answer yes or no.", " Por favor, responde sim ou não."),
    ),
    Benchmark(
        "mmmu_pro_pt", "amalia-llm/MMMU-Pro-PT",
        "{question}\n{options}\n\nResponda diretamente com a letra da opção entre as escolhas fornecidas.",
        "mmmu", 256, "MMMU-Pro", aggregate="rounded",
        columns=Columns(options=("options",), images=("numbered",), category="subject", identity="id"), note=_DRAWN,
    ),
    Benchmark(
        "seedbench_pt", "amalia-llm/SEED-Bench-PT", "{question}\n{options}\n" + _LETTER, "letter_seed", 1024, "SEED",
        columns=Columns(options=_ABCD, category="data_type"), held_in=True,
    ),
    Benchmark(
        "pope_pt", "amalia-llm/POPE-PT", _SHORT, "yes_no_pope", 128, "POPE", aggregate="pope", held_in=True,
        note="the paper does not say whether accuracy or F1 is in Table 3; accuracy is shown, F1 is among the parts",
    ),
    Benchmark(
        "realworldqa_pt", "amalia-llm/RealWorldQA-PT", "{question}", "realworldqa", 16, "RealWorldQA",
    ),
    Benchmark(
        "ocrbench_pt", "amalia-llm/OCRBench-PT", "{question}\nFornece uma resposta curta e direta.", "ocrbench", 128,
        "OCRBench", aggregate="thousand", columns=Columns(category="question_type", identity="id"),
        note="the sentence about short answers is the suite's for the wrapper llava_hf, which the paper used",
    ),
    Benchmark(
        "textvqa_pt", "amalia-llm/TextVQA-PT",
        "{question}\nQuando a informação fornecida for insuficiente, responde com 'Sem resposta'.\n"
        "Responde à pergunta utilizando uma palavra ou frase.",
        "vqa", 1024, "TextVQA", split="validation", columns=Columns(references="answers"), row_form="capitalised",
        held_in=True,
    ),
    Benchmark(
        "docvqa_pt", "amalia-llm/DocVQA-PT", _SHORT, "anls", 32, "DocVQA", split="validation",
        columns=Columns(references="answers", identity="questionId"), held_in=True,
    ),
    Benchmark(
        "infovqa_pt", "amalia-llm/InfographicVQA-PT", _SHORT, "anls", 32, "InfoVQA", split="validation",
        columns=Columns(references="answers", identity="questionId"), held_in=True,
    ),
    Benchmark(
        "ai2d_pt", "amalia-llm/AI2D-PT",
        "{question}\n{options}\nResponda diretamente com a letra da opção entre as escolhas fornecidas.",
        "letter_ai2d", 16, "AI2D", columns=Columns(options=("options",)), reference_form="index",
        note="not marked as held-in by the paper, though AI2D is in the training mixture of Table 1",
    ),
    Benchmark(
        "chartqa_pt", "amalia-llm/ChartQA-PT", "{question}\nResponde à pergunta com uma única palavra.", "relaxed", 16,
        "ChartQA", columns=Columns(category="type"),
    ),
    Benchmark(
        "embspatial_pt", "amalia-llm/EmbSpatial-Bench-PT",
        "Nota: Apenas necessita de responder com A, B, C, D sem fornecer qualquer informação adicional.\n"
        "{question}\n{options}",
        "letter_embspatial", 1024, "EmbSpatial", options="{letter}) {option}", reference_form="index",
        columns=Columns(options=("answer_options",), category="relation"),
    ),
    _REFCOCO_REC,
    Benchmark(
        "coco2017_cap_pt", "amalia-llm/COCO-Caption2017-PT",
        "Apresenta uma legenda de uma frase para a imagem fornecida.",
        "cider", 64, "COCO-Cap", split="validation", aggregate="cider", unit="image", columns=Columns(identity="id"),
        held_in=True,
    ),
    Benchmark(
        "refcoco_bbox_pt", "amalia-llm/RefCOCO-PT", "Apresenta uma breve descrição desta região.", "cider", 1024,
        "RefCOCO-Cap", aggregate="cider", unit="image", row_form="outlined",
    ),
    Benchmark(
        "mathvision_pt", "amalia-llm/MATH-Vision-PT",
        "Por favor, resolve o problema passo a passo e coloca a tua resposta dentro de um '\\boxed{{}}'.{question}\n"
        "Opções: {options}\n" + _LETTER,
        "math", 16384, "MATH-Vision", held_in=True,
        columns=Columns(options=("options",), images=("decoded_image",), category="subject", identity="id"),
        open_prompt="Por favor, resolve o problema passo a passo e coloca a tua resposta dentro de um "
        "'\\boxed{{}}'.{question}",
    ),
)  # fmt: skip

PORTEXTO_PT = tuple(
    Benchmark(
        f"portexto_{part}_pt", "amalia-llm/PorTEXTO", "{question}", "anls", 8192, subset=part,
        aggregate="transcription",
        reasoning=(_THINKING, ("<reasoning>", "</reasoning>"), ("<|channel>thought", "<channel|>")),
        note="ANLS; BLEU-1 is among the parts; the mean of the four is weighted by size",
    )
    for part in ("handwritten", "handwritten_full_page", "in_the_wild", "synthetic")
)  # fmt: skip

CARAVELA = (
    Benchmark(
        "caravela_mcq", "amalia-llm/CARAVELA",
        "{question}\n{options}\nResponde apenas com a letra da opção correta. Termina a tua resposta escrevendo"
        " 'ANSWER:' seguido da letra.",
        "letter_caravela", 512, file="caravela_mcq.parquet", aggregate="percent", points=1, reasoning=(_THINKING,),
        columns=Columns(options=("options_a", "options_b", "options_c", "options_d"), category="area"),
    ),
    Benchmark(
        "caravela_vqa", "amalia-llm/CARAVELA",
        "{question}\nResponde de forma curta e direta. Termina a tua resposta escrevendo 'ANSWER:' seguido da tua"
        " resposta.",
        "says", 1024, file="caravela_vqa.parquet", aggregate="percent", points=1, reasoning=(_THINKING,),
        columns=Columns(category="area"),
    ),
    Benchmark(
        "caravela_reasoning", "amalia-llm/CARAVELA",
        "{question}\nExplica o teu raciocínio passo a passo. Termina a tua resposta escrevendo 'ANSWER:' seguido da"
        " tua conclusão.",
        "overlap", 2048, file="caravela_reasoning.parquet", aggregate="percent", points=1, reasoning=(_THINKING,),
        columns=Columns(category="area"),
    ),
)  # fmt: skip

_OWN_WORDING = "the paper's wording for this format is not public; this is the default's, with the format changed"
REFCOCO_FORMATS = tuple(
    replace(
        _REFCOCO_REC,
        name=f"refcoco_rec_{form}_{scale}",
        prompt=_BOX.format(form=_CORNERS if form == "xyxy" else _SIZE, scale=_FLOATS if scale == 1 else _INTEGERS),
        title="",
        box_form=form,
        box_scale=float(scale),
        note="" if (form, scale) == ("xyxy", 1) else _OWN_WORDING,
    )
    for form in ("xyxy", "xywh")
    for scale in (1, 1000)
)

_DIRECT = {  # the first is upstream's; the paper's in other languages are not public
    "en": ("Answer with the option's letter from the given choices directly.", "Answer yes or no."),
    "fr": ("Réponds directement avec la lettre de l'option choisie.", "Réponds par oui ou non."),
    "de": ("Antworte direkt mit dem Buchstaben der gewählten Option.", "Antworte mit Ja oder Nein."),
    "it": ("Rispondi direttamente con la lettera dell'opzione scelta.", "Rispondi con sì o no."),
    "es": ("Responde directamente con la letra de la opción elegida.", "Responde sí o no."),
}
_NO_DATASET = "where the dataset is, and its prompts, are not public: give its rows with --data"
_WORD = "{question}\nAnswer the question using a single word or phrase."
_ENGLISH_ROWS = (
    "as lmms-eval 0.7.3 has it, whose scores the paper does not say it took; Multi-PixMo's own rows in English are not"
    " public"
)
MULTI_PIXMO_ENGLISH = (
    Benchmark(
        "mmbench_en", "lmms-lab-encoder/MMBench",
        "{question} There are several options:\n{options}\n\n" + _DIRECT["en"][0],
        "letter", 1024, subset="en", split="dev", hint="{hint} {question}", note=_ENGLISH_ROWS,
        columns=Columns(options=tuple("ABCD"), identity="index", hint="hint"),
    ),
    Benchmark(
        "scienceqa_en", "lmms-lab-encoder/ScienceQA", "{question}\n{options}\n" + _DIRECT["en"][0], "letter", 16,
        subset="ScienceQA-IMG", hint="Context: {hint}\n{question}", reference_form="index", note=_ENGLISH_ROWS,
        columns=Columns(options=("choices",), category="subject", hint="hint"),
    ),
    Benchmark(
        "mme_en", "lmms-lab-encoder/MME", _WORD, "yes_no", 16, aggregate="mme", points=1, unit="identity",
        removed=(" Please answer yes or no.",), note=_ENGLISH_ROWS,
    ),
    Benchmark("pope_en", "lmms-lab-encoder/POPE", _WORD, "yes_no", 128, aggregate="pope", note=_ENGLISH_ROWS),
    Benchmark(
        "ai2d_en", "lmms-lab-encoder/ai2d", "{question}\n{options}\n" + _DIRECT["en"][0], "letter", 16,
        columns=Columns(options=("options",)), reference_form="index", note=_ENGLISH_ROWS,
    ),
)  # fmt: skip
MULTI_PIXMO = MULTI_PIXMO_ENGLISH + tuple(
    replace(
        task,
        name=task.name.replace("_en", f"_{language}"),
        dataset=UNKNOWN,
        subset=None,
        prompt=task.prompt.replace(_DIRECT["en"][0], letters).replace(_WORD, f"{{question}}\n{yes_no}"),
        max_new_tokens=16,
        note="translated rows in the columns of the English ones; " + _NO_DATASET,
    )
    for language, (letters, yes_no) in _DIRECT.items()
    if language != "en"
    for task in MULTI_PIXMO_ENGLISH
)

_COMMUTE = {"de": "German", "fr": "French", "ru": "Russian", "zh": "Chinese"}  # TowerVision's Table 2
COMMUTE = tuple(
    Benchmark(
        f"commute_{code}", UNKNOWN,
        f"Translate the following English source text to {language}:\nEnglish: {{question}}\n{language}: ",
        "perplexity", 128, unit="group", row_form="completions", asks="likelihood",
        columns=Columns(options=("completions",), identity="question"), licence="cc-by-nc-sa-4.0",
        note="of MatthieuFP/CoMMuTE at 7b172b7 on GitHub, whose pictures are elsewhere: give its checkout with --data;"
        " as its evaluate.py, by perplexity; the prompt is Tower+'s, for TowerVision's is not public",
    )
    for code, language in _COMMUTE.items()
)  # fmt: skip

TOWERVISION = (
    *COMMUTE,
    Benchmark(
        "alm_bench_choice", "MBZUAI/ALM-Bench", "{question}\n{options}\n" + _DIRECT["en"][0], "letter", 16,
        columns=Columns(options=("options",)),
        note="multiple choice alone: its open questions need a judge; " + _NO_DATASET,
    ),
    Benchmark(
        "cc_ocr_multilingual", "wulipc/CC-OCR", "{question}", "cc_ocr", 4096, subset="multi_lan_ocr",
        aggregate="category_means", columns=Columns(category="split", identity="image_name"), row_form="base64",
        note="F1 of words, of letters in Arabic, Japanese and Korean, the mean of its languages; its own evaluator's",
    ),
    Benchmark(
        "multi30k", UNKNOWN, "{question}", "bleu1", 128, aggregate="bleu1", points=1,
        note="the paper reports xCOMET, a model: score answers.jsonl with it; " + _NO_DATASET,
    ),
)  # fmt: skip

GROUPS: Mapping[str, tuple[Benchmark, ...]] = {
    "amalia_vl_eval_pt": AMALIA_VL_EVAL_PT,
    "portexto_pt": PORTEXTO_PT,
    "caravela": CARAVELA,
    "refcoco_formats": REFCOCO_FORMATS,
    "multi_pixmo": MULTI_PIXMO,
    "towervision": TOWERVISION,
}
TASKS: Mapping[str, Benchmark] = {task.name: task for group in GROUPS.values() for task in group}


def find_tasks(name: str) -> tuple[Benchmark, ...]:
    """Give a group's benchmarks, or the one of a name.

    Raises:
        ValueError: Neither a group nor a benchmark is called so.
    """
    if name in GROUPS:
        return GROUPS[name]
    return (find_task(name),)


def find_task(name: str) -> Benchmark:
    """Give the benchmark of a name.

    Raises:
        ValueError: No benchmark is called so.
    """
    if name not in TASKS:
        raise ValueError(unknown("benchmark", name, [*GROUPS, *TASKS]))
    return TASKS[name]
