"""Someone who answers without a model; imported by interpreters of their own, so it imports little."""

from amalia_vl_hf.evaluation.backends import GeneratedAnswer


class Scripted:
    """Answers each question by a function of its item, and remembers what it was asked."""

    def __init__(self, say, name="scripted", before=lambda _count: None):
        self.say, self.name, self.before, self.asked = say, name, before, []

    def record(self):
        return {"model": self.name, "weights": "none", "sampling": {"temperature": 0.0}}

    def answer(self, questions, missing, images, max_new_tokens, keep):
        for question in missing:
            self.before(len(self.asked))
            self.asked.append(question.place[0])
            keep([(question, GeneratedAnswer(self.say(question.item)))])
        return []


def right(item):
    return str(item["references"][0])
