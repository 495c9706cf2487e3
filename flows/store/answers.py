"""Questions to a session and their answers: one artifact on the session, rewritten in place."""

from uuid import UUID

from prefect.client.orchestration import PrefectClient
from prefect.exceptions import ObjectNotFound

from wildloop.flows.models.answer import Answer, AnswerList
from wildloop.flows.store import artifacts
from wildloop.flows.text.redaction import redact

KEY = "answers-"
KEPT = 100


async def read_answers(client: PrefectClient, session_id: str) -> AnswerList:
    """All questions to a session, oldest first; of very many the last ones."""
    found = await artifacts.latest(client, KEY + session_id)
    if not found:
        return AnswerList()
    return AnswerList.model_validate_json(artifacts.record_of(found[KEY + session_id]))


async def keep_answer(client: PrefectClient, answer: Answer) -> AnswerList:
    """Note a question, or what came of it; return all of the session."""
    key = KEY + answer.session_id
    found = await artifacts.latest(client, key)
    known = (
        AnswerList.model_validate_json(artifacts.record_of(found[key])) if found else AnswerList()
    )
    others = [one for one in known.answers if one.id != answer.id]
    told = AnswerList(answers=sorted([*others, answer], key=lambda one: one.asked_at)[-KEPT:])
    text, record = _markdown(told), told.model_dump_json(exclude_defaults=True)
    version = found[key].latest_id if found else None
    if version is not None:
        try:
            await artifacts.rewrite(client, version, text=text, record=record)
            return told
        except ObjectNotFound:
            # Somebody has deleted it.
            pass
    await artifacts.write(
        client,
        key,
        text=text,
        description="What was asked of this session, and what its agent has answered.",
        record=record,
        flow_run_id=UUID(answer.session_id),
    )
    return told


def _markdown(told: AnswerList) -> str:
    parts = []
    for one in told.answers:
        quoted = "\n".join(f"> {line}" for line in one.question.splitlines())
        parts.append(f"{quoted}\n\n{one.answer or one.error or 'Asked.'}")
    return redact("\n\n---\n\n".join(parts)) + "\n"
