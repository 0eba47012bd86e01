"""The second turn of a conversation: its first token with the first turn cached, and cold."""

import statistics

from tests.bench.serving.asking import ask, chat, completion
from tests.bench.serving.server import Prompts, Troupe

GOAL = 0.30


def run(options):
    """Prints both times and their ratio; gives back what it found."""
    prompts = Prompts(options.model, options.seed)
    warm, cold, cached = [], [], []
    with Troupe(options.model, *options.serve) as server:
        turn = _chat_turn if prompts.has_text else _completion_turn
        for number in range(options.rounds + 1):
            before = server.total("troupe_gateway_cached_prompt_tokens_total")
            second = turn(server.url, prompts, 2 * number, options, ask_first=True)
            reported = (second.usage.get("prompt_tokens_details") or {}).get("cached_tokens")
            counted = server.total("troupe_gateway_cached_prompt_tokens_total") - before
            other = turn(server.url, prompts, 2 * number + 1, options, ask_first=False)
            if number > 0:  # the first round warms everything up
                warm.append(second.first_token_s)
                cold.append(other.first_token_s)
                cached.append((reported, counted, second.usage["prompt_tokens"]))
    ratio = statistics.median(a / b for a, b in zip(warm, cold))
    reported, counted, tokens = cached[-1]
    print(f"{'chat' if prompts.has_text else 'ids'}: a prompt of {tokens} tokens in turn 2")
    print("| turn 2, time to first token | median s | min | max |\n|---|---:|---:|---:|")
    for name, values in (("first turn cached", warm), ("cold", cold)):
        cells = (statistics.median(values), min(values), max(values))
        print(f"| {name} | " + " | ".join(f"{value:.4f}" for value in cells) + " |")
    print(f"cached / cold {ratio:.0%} (goal {GOAL:.0%}); cached tokens of the last round: "
          f"{counted:.0f} of {tokens} by the metric, {reported} in `usage`")
    return {"ratio": ratio, "cached_tokens": counted, "cached_reported": reported,
            "prompt_tokens": tokens}


def _chat_turn(url, prompts, number, options, ask_first):
    """Turn 2 of conversation `number`; without turn 1 the answer in it is made up."""
    question = prompts.text(number, options.prompt_tokens // 3)  # a word has about three tokens
    answer = prompts.text(-number - 1, options.answer_tokens // 3)
    messages = [{"role": "user", "content": question}]
    if ask_first:
        answer = _good(ask(url, chat(messages, options.answer_tokens))).text
    messages += [{"role": "assistant", "content": answer}, {"role": "user", "content": "And then?"}]
    return _good(ask(url, chat(messages, 4)))


def _completion_turn(url, prompts, number, options, ask_first):
    prompt = prompts.ids(number, options.prompt_tokens)
    answer = prompts.ids(-number - 1, options.answer_tokens)
    if ask_first:
        answer = _good(ask(url, completion(prompt, options.answer_tokens))).ids
    question = prompts.ids(f"question {number}", 16)
    return _good(ask(url, completion(prompt + answer + question, 4)))


def _good(reply):
    if reply.failure:
        raise SystemExit(f"turns: {reply.failure}")
    return reply
