"""A sample's plan asks each body once, and knows what is wrong with what comes back."""

from amalia_vl_hf.translation.drafts import Plan, read_draft, whole_faults

TEXTS = ["Which?\nA. Red\nB. No\nC. 5\nD. B", "A. Red", "Stays as it is."]


def test_each_body_is_asked_once_with_its_context():
    plan = Plan.of(TEXTS, [False, False, True])
    assert plan.bodies == ["Which?", "Red"]
    assert plan.contexts == ["", "Which?"]
    assert plan.fixed == {"No": "Não", "5": "5", "B": "B"}
    done = plan.texts({"Which?": "Qual?", "Red": "Vermelho"})
    assert done == ["Qual?\nA. Vermelho\nB. Não\nC. 5\nD. B", "A. Vermelho", "Stays as it is."]
    assert whole_faults(TEXTS, done) == []


def test_a_draft_says_what_is_wrong_with_it():
    assert read_draft("It is `f(x)`.", " É [1]. ").text == "É `f(x)`."
    lost = read_draft("It is `f(x)`.", "É isso.")
    assert (lost.text, lost.said, lost.faults[0].rule) == (None, "É isso.", "tokens")
    assert read_draft("A cat.", None, "cut short").faults == [("no answer", "cut short")]
    assert [fault.rule for fault in read_draft("It is not here.", "Está aqui.").faults] == ["negation"]


def test_a_whole_sample_is_judged_at_once():
    brazilian = ["O ônibus está chegando.", "Que legal, eu estou vendo um trem."]
    assert [fault.rule for fault in whole_faults(["The bus is arriving.", "I see a train."], brazilian)] == [
        "Brazilian"
    ]
    assert (
        whole_faults(["The bus is arriving.", "x"], ["Het is de bus van het station.", "x"]) == []
    )  # other rules' work
    assert [fault.rule for fault in whole_faults(["a\nb"], ["a b"])] == ["lines"]
