"""Agents that are a command each: those known by name, and what a project adds to them."""

import shlex
from collections.abc import Mapping

from wildloop.blocks.agents.command import CommandAgent, first_word
from wildloop.blocks.agents.entry import AgentEntry

_PROVIDERS = (
    "ANTHROPIC_API_KEY",
    "OPENAI_API_KEY",
    "OPENAI_BASE_URL",
    "GEMINI_API_KEY",
    "OPENROUTER_API_KEY",
    "DEEPSEEK_API_KEY",
    "GROQ_API_KEY",
    "MISTRAL_API_KEY",
    "XAI_API_KEY",
)
KNOWN: Mapping[str, AgentEntry] = {
    "gemini": AgentEntry(
        # In a folder that it does not trust it allows itself no tool.
        command="GEMINI_CLI_TRUST_WORKSPACE=true gemini --yolo --output-format json",
        passed=("GEMINI_API_KEY", "GOOGLE_API_KEY", "GOOGLE_CLOUD_PROJECT",
                "GOOGLE_CLOUD_LOCATION", "GOOGLE_GENAI_USE_VERTEXAI",
                "GOOGLE_APPLICATION_CREDENTIALS", "GOOGLE_GEMINI_BASE_URL"),
        usage="json:text=response,input=stats.models.*.tokens.prompt,"
        "output=stats.models.*.tokens.candidates",
        model_option="--model",
        login=(".gemini/oauth_creds.json",),
        install="npm install -g @google/gemini-cli",
    ),
    "qwen": AgentEntry(
        command="qwen --yolo --output-format json",
        passed=("OPENAI_API_KEY", "OPENAI_BASE_URL", "OPENAI_MODEL", "DASHSCOPE_API_KEY"),
        usage="json:text=result,input=usage.input_tokens,output=usage.output_tokens",
        model_option="--model",
        login=(".qwen/oauth_creds.json",),
        install="npm install -g @qwen-code/qwen-code",
    ),
    "pi": AgentEntry(
        command="pi --print --mode json --no-session",
        passed=_PROVIDERS,
        usage="jsonl:text=message.content.*.text,input=messages.*.usage.input,"
        "output=messages.*.usage.output,cache_read=messages.*.usage.cacheRead,"
        "cache_write=messages.*.usage.cacheWrite,cost=messages.*.usage.cost.total",
        model_option="--model",
        login=(".pi/agent/auth.json",),
        install="npm install -g @mariozechner/pi-coding-agent",
    ),
    "copilot": AgentEntry(
        command="copilot --allow-all-tools",
        passed=("COPILOT_GITHUB_TOKEN", "GH_TOKEN", "GITHUB_TOKEN"),
        model_option="--model",
        login=(".copilot/config.json",),
        install="npm install -g @github/copilot",
    ),
    "amp": AgentEntry(
        command="amp --execute --dangerously-allow-all",
        passed=("AMP_API_KEY", "AMP_URL"),
        login=(".local/share/amp/secrets.json",),
        install="npm install -g @sourcegraph/amp",
    ),
    "cursor": AgentEntry(
        command="cursor-agent --print --force",
        passed=("CURSOR_API_KEY",),
        model_option="--model",
        login=(".cursor/cli-config.json",),
        install="see cursor.com/cli",
    ),
    "aider": AgentEntry(
        command="aider --yes-always --no-stream --no-pretty --no-auto-commits "
        "--message-file /dev/stdin",
        passed=_PROVIDERS,
        model_option="--model",
        login=(".aider.conf.yml",),
        install="uv tool install aider-chat",
    ),
    "goose": AgentEntry(
        command="goose run --no-session --instructions -",
        passed=(*_PROVIDERS, "GOOSE_PROVIDER", "GOOSE_MODEL", "GOOGLE_API_KEY"),
        model_option="--model",
        login=(".config/goose/config.yaml",),
        install="see block.github.io/goose",
    ),
    "cline": AgentEntry(
        command="cline --auto-approve true",
        passed=("CLINE_API_KEY", *_PROVIDERS),
        model_option="--model",
        login=(".cline/data/secrets.json",),
        install="npm install -g cline",
    ),
}  # fmt: skip
"""By name, as their vendors' headless modes are; an entry of a project's prevails."""


def agent_of(entry: AgentEntry, model: str | None = None) -> CommandAgent:
    """The agent of an entry; `model` goes with its `model_option`."""
    command = entry.command
    if model is not None and entry.model_option is not None:
        command += f" {entry.model_option} {shlex.quote(model)}"
    return CommandAgent(
        command=command,
        pass_variables=list(entry.passed),
        usage=entry.usage,
        price=entry.price,
    )


def entries_with(own: Mapping[str, AgentEntry]) -> dict[str, AgentEntry]:
    """The known entries and a project's own, which prevail."""
    return {**KNOWN, **own}


def known_by(program: str | None) -> AgentEntry | None:
    """The known entry whose command starts this program, by its path or name."""
    name = (program or "").rpartition("/")[2]
    return next((one for one in KNOWN.values() if first_word(one.command) == name), None)
