"""The official OpenAI client against `troupe serve`: every parameter, whole and as a stream."""

import asyncio
import concurrent.futures
import json
import math
import unittest

from tests.support import grpc_client as client
from tests.support import openai_client as oai
from tests.support.openai_case import PROMPT, QUESTION, ServedTest
from tests.support.openai_client import openai


class ChatTest(ServedTest):
    def test_an_answer_has_every_member(self):
        answer = self.chat()
        self.assertEqual(answer.object, "chat.completion")
        self.assertTrue(answer.id.startswith("chatcmpl-"))
        self.assertEqual(answer.model, "troupe-tiny")
        self.assertRegex(answer.system_fingerprint, "^fp_[0-9a-f]{16}$")
        choice = answer.choices[0]
        self.assertEqual((choice.index, choice.message.role), (0, "assistant"))
        self.assertTrue(choice.message.content)
        self.assertIn(choice.finish_reason, ("stop", "length"))
        self.assertIsNone(choice.logprobs)
        usage = answer.usage
        self.assertEqual(usage.total_tokens, usage.prompt_tokens + usage.completion_tokens)

    def test_it_is_the_answer_that_grpc_gives(self):
        asked = client.request(
            messages=[("user", QUESTION[0]["content"])], temperature=0, max_tokens=24
        )
        choice, whole = client.unary(self.served, asked)
        answer = self.chat()
        self.assertEqual(answer.choices[0].message.content, choice.text)
        self.assertEqual(answer.usage.prompt_tokens, whole.usage.prompt_tokens)
        self.assertEqual(answer.usage.completion_tokens, whole.usage.completion_tokens)

    def test_a_stream_joined_is_the_whole_answer(self):
        for options in ({}, {"stop": ["er", "light"]}, {"temperature": 1, "seed": 7}):
            whole = self.chat(**options).choices[0]
            chunks = list(self.chat(stream=True, **options))
            self.assertEqual(chunks[0].choices[0].delta.role, "assistant")
            self.assertTrue(all(c.choices[0].delta.role is None for c in chunks[1:]))
            text = "".join(c.choices[0].delta.content or "" for c in chunks)
            self.assertEqual(text, whole.message.content, options)
            reasons = [c.choices[0].finish_reason for c in chunks]
            self.assertEqual(reasons[-1], whole.finish_reason)
            self.assertEqual(set(reasons[:-1]), {None})
            self.assertEqual(len({c.id for c in chunks}), 1)
            self.assertTrue(all(c.usage is None for c in chunks))

    def test_usage_comes_last_and_only_when_asked_for(self):
        whole = self.chat()
        chunks = list(self.chat(stream=True, stream_options={"include_usage": True}))
        self.assertEqual(chunks[-1].choices, [])
        self.assertEqual(chunks[-1].usage, whole.usage)
        self.assertTrue(all(c.usage is None for c in chunks[:-1]))
        body = {"messages": QUESTION, "max_tokens": 2, "stream": True, "stream_options": {}}
        events = oai.ask(self.url, "/v1/chat/completions", body).events
        self.assertEqual(events[-1], "[DONE]")
        self.assertTrue(all("usage" not in event for event in events[:-1]))
        del body["stream"]
        self.assertEqual(oai.ask(self.url, "/v1/chat/completions", body).status, 200)

    def test_the_newer_bound_wins(self):
        answer = self.chat(max_completion_tokens=3, extra_body={"ignore_eos": True})
        self.assertEqual(answer.usage.completion_tokens, 3)
        self.assertEqual(answer.choices[0].finish_reason, "length")

    def test_stop_strings_across_tokens_and_characters(self):
        text = self.chat(max_tokens=40).choices[0].message.content
        for length in (1, 3, 7):
            stop = text[len(text) // 2 :][:length]
            whole = self.chat(max_tokens=40, stop=stop).choices[0]
            self.assertEqual(whole.message.content, text[: text.index(stop)])
            self.assertEqual(whole.finish_reason, "stop")
            chunks = self.chat(max_tokens=40, stop=[stop, "never"], stream=True)
            joined = "".join(c.choices[0].delta.content or "" for c in chunks)
            self.assertEqual(joined, whole.message.content)

    def test_the_stop_string_is_part_of_the_answer_where_asked_for(self):
        text = self.chat(max_tokens=40).choices[0].message.content
        stop = text[len(text) // 2 :][:3]
        asked = {"max_tokens": 40, "stop": stop,
                 "extra_body": {"include_stop_str_in_output": True}}
        whole = self.chat(**asked).choices[0].message.content
        self.assertEqual(whole, text[: text.index(stop) + len(stop)])
        chunks = self.chat(**asked, stream=True)
        self.assertEqual("".join(c.choices[0].delta.content or "" for c in chunks), whole)

    def test_allowed_ids_and_bad_words_bound_the_answer(self):
        allowed = list(range(300, 320))
        answer = self.chat(max_tokens=16, temperature=1, seed=3, extra_body={
            "allowed_token_ids": allowed, "return_token_ids": True})
        ids = answer.choices[0].token_ids
        self.assertEqual(len(ids), 16)
        self.assertLessEqual(set(ids), set(allowed))
        text = self.chat(max_tokens=40).choices[0].message.content
        word = max(text.split(), key=len)
        other = self.chat(max_tokens=40, extra_body={"bad_words": [word]})
        self.assertNotIn(" " + word, other.choices[0].message.content)

    def test_logprobs_are_those_of_the_tokens(self):
        answer = self.chat(logprobs=True)
        entries = answer.choices[0].logprobs.content
        self.assertEqual("".join(e.token for e in entries), answer.choices[0].message.content)
        for entry in entries:
            self.assertLessEqual(entry.logprob, 0)
            self.assertEqual(bytes(entry.bytes).decode(errors="replace"), entry.token)
            self.assertEqual(entry.top_logprobs, [])
        chunks = list(self.chat(logprobs=True, stream=True))
        streamed = [e for c in chunks for e in (c.choices[0].logprobs or _NONE).content]
        self.assertEqual(streamed, entries)

    def test_alternatives_are_the_likeliest_tokens(self):
        entries = self.chat(logprobs=True, top_logprobs=4).choices[0].logprobs.content
        for entry in entries:
            self.assertEqual(len(entry.top_logprobs), 4)
            best = entry.top_logprobs[0]  # greedy took it
            self.assertEqual((best.token, best.logprob), (entry.token, entry.logprob))
            ranked = [one.logprob for one in entry.top_logprobs]
            self.assertEqual(ranked, sorted(ranked, reverse=True))
        chunks = list(self.chat(logprobs=True, top_logprobs=4, stream=True))
        streamed = [e for c in chunks for e in (c.choices[0].logprobs or _NONE).content]
        self.assertEqual(streamed, entries)

    def test_choices_of_a_seed_are_the_same_every_time(self):
        options = {"n": 4, "seed": 11, "temperature": 2, "max_tokens": 12}
        whole = self.chat(**options)
        texts = [choice.message.content for choice in whole.choices]
        self.assertEqual([choice.index for choice in whole.choices], [0, 1, 2, 3])
        self.assertEqual(len(set(texts)), 4, texts)
        self.assertEqual(self.chat(**options).choices, whole.choices)
        joined, reasons, usage = [""] * 4, [None] * 4, None
        for chunk in self.chat(stream=True, stream_options={"include_usage": True}, **options):
            for choice in chunk.choices:
                joined[choice.index] += choice.delta.content or ""
                reasons[choice.index] = choice.finish_reason or reasons[choice.index]
            usage = chunk.usage or usage
        self.assertEqual(joined, texts)
        self.assertEqual(reasons, [choice.finish_reason for choice in whole.choices])
        alone = self.chat(seed=11, temperature=2, max_tokens=12)
        self.assertEqual(alone.choices[0], whole.choices[0])
        self.assertEqual(usage.prompt_tokens, alone.usage.prompt_tokens)
        self.assertEqual(usage.completion_tokens, whole.usage.completion_tokens)

    def test_a_second_turn_tells_what_was_computed_before(self):
        turns = [{"role": "user", "content": "Tell me of the sea. " * 20}]
        first = self.chat(messages=turns)
        turns += [{"role": "assistant", "content": first.choices[0].message.content},
                  {"role": "user", "content": "And of ships?"}]
        second = self.chat(messages=turns)
        cached = second.usage.prompt_tokens_details.cached_tokens
        self.assertGreater(cached, 0)
        self.assertLess(cached, second.usage.prompt_tokens)
        other = self.chat(messages=turns, extra_body={"cache_salt": "other", "priority": 1})
        self.assertEqual(other.usage.prompt_tokens_details.cached_tokens, 0)
        self.assertEqual(other.choices, second.choices)

    def test_logprobs_of_the_prompt_by_token_id(self):
        answer = self.chat(extra_body={"prompt_logprobs": 2, "return_token_ids": True})
        ids = answer.choices[0].prompt_token_ids
        self.assertEqual(len(answer.prompt_logprobs), len(ids))
        self.assertIsNone(answer.prompt_logprobs[0])
        for token, entry in zip(ids[1:], answer.prompt_logprobs[1:]):
            self.assertIn(str(token), entry)
            self.assertIn(len(entry), (2, 3))
            ranked = sorted(entry.values(), key=lambda one: one["rank"])
            self.assertEqual([one["rank"] for one in ranked[:2]], [1, 2])
            self.assertEqual(ranked, sorted(ranked, key=lambda one: -one["logprob"]))

    def test_a_seed_is_told_and_repeats_the_answer(self):
        raw = self.openai.chat.completions.with_raw_response.create(
            model="troupe-tiny", messages=QUESTION, temperature=1.5, max_tokens=16
        )
        seed = int(raw.headers["x-troupe-seed"])
        again = self.chat(temperature=1.5, max_tokens=16, seed=seed)
        self.assertEqual(again.choices[0].message, raw.parse().choices[0].message)
        other = self.chat(temperature=1.5, max_tokens=16, seed=seed ^ 1)
        self.assertNotEqual(again.choices[0].message, other.choices[0].message)

    def test_parameters_that_change_nothing_here_are_told(self):
        raw = self.openai.chat.completions.with_raw_response.create(
            model="troupe-tiny", messages=QUESTION, max_tokens=2, user="somebody",
            extra_body={"no such field\r\n": 1}, metadata={"a": "b"}, store=False,
        )
        ignored = raw.headers["x-troupe-ignored-fields"].split(", ")
        self.assertEqual(set(ignored), {"user", "metadata", "store", "no%20such%20field%0D%0A"})

    def test_every_sampling_parameter_is_taken_as_grpc_takes_it(self):
        shared = {"top_p": 0.9, "frequency_penalty": 0.5, "presence_penalty": -0.5, "seed": 3,
                  "temperature": 0.8, "n": 2, "max_tokens": 24}
        more = {"top_k": 20, "min_p": 0.05, "repetition_penalty": 1.1, "ignore_eos": True,
                "min_tokens": 4, "stop_token_ids": [9]}
        extra = {**more, "return_token_ids": True, "chat_template_kwargs": {"thinking": False},
                 "thinking": {"type": "disabled"}}
        raw = self.openai.chat.completions.with_raw_response.create(
            model="troupe-tiny", messages=[{"role": "user", "content": "zzz"}], extra_body=extra,
            logit_bias={"5": -100, "77": 6}, reasoning_effort="low", stop=None,
            response_format={"type": "text"}, tool_choice="none", parallel_tool_calls=True,
            **shared,
        )
        self.assertNotIn("x-troupe-ignored-fields", raw.headers)
        asked = client.request(messages=[("user", "zzz")], logit_bias={5: -100, 77: 6}, **shared,
                               **more)
        told = client.unary(self.served, asked)[1].choices
        self.assertEqual([choice.token_ids for choice in raw.parse().choices],
                         [list(choice.token_ids) for choice in told])

    def test_parts_of_text_are_joined(self):
        parts = [{"type": "text", "text": "What is"}, {"type": "text", "text": "a lighthouse?"}]
        joined = self.chat(messages=[{"role": "user", "content": parts}])
        whole = self.chat(messages=[{"role": "user", "content": "What is\na lighthouse?"}])
        self.assertEqual(joined.choices, whole.choices)

    def test_progress_and_timings_when_asked_for(self):
        body = {"messages": [{"role": "user", "content": "word " * 300}], "max_tokens": 2,
                "stream": True, "include_prompt_progress": True, "timings": True}
        events = oai.ask(self.url, "/v1/chat/completions", body).events
        progress = [event["prompt_progress"] for event in events[:-1] if not event["choices"]]
        self.assertTrue(progress)
        self.assertEqual(progress[-1]["done"], progress[-1]["total"])
        self.assertEqual(progress[-1]["cached_tokens"], 0)
        again = oai.ask(self.url, "/v1/chat/completions",
                        {**body, "stream_options": {"include_usage": True}}).events
        told = [event["prompt_progress"]["cached_tokens"] for event in again[:-1]
                if "prompt_progress" in event]
        usage = again[-2]["usage"]["prompt_tokens_details"]
        self.assertGreater(usage["cached_tokens"], 0)
        self.assertEqual(set(told), {usage["cached_tokens"]})
        finish = events[-2]["choices"][0]
        self.assertGreater(finish["timings"]["duration_s"], 0)

    def test_async_clients_together_get_what_each_gets_alone(self):
        async def all_of_them():
            async with oai.connect_async(self.url) as many:
                return await asyncio.gather(*(one(many, i) for i in range(12)))

        async def one(many, i):
            options = {"model": "troupe-tiny", "messages": QUESTION, "temperature": 1,
                       "seed": i, "max_tokens": 12}
            if i % 2:
                stream = await many.chat.completions.create(stream=True, **options)
                return "".join([c.choices[0].delta.content or "" async for c in stream])
            answer = await many.chat.completions.create(**options)
            return answer.choices[0].message.content

        together = asyncio.run(all_of_them())
        alone = [self.chat(temperature=1, seed=i, max_tokens=12) for i in range(12)]
        self.assertEqual(together, [answer.choices[0].message.content for answer in alone])


class _NONE:  # pylint: disable=invalid-name
    """Logprobs of a chunk that has none."""

    content = ()


class CompletionTest(ServedTest):
    def test_an_answer_has_every_member(self):
        answer = self.complete()
        self.assertEqual(answer.object, "text_completion")
        self.assertTrue(answer.id.startswith("cmpl-"))
        self.assertEqual(answer.choices[0].index, 0)
        self.assertTrue(answer.choices[0].text)
        self.assertEqual(answer.usage.completion_tokens, 16)

    def test_sixteen_tokens_without_a_bound(self):
        answer = self.openai.completions.create(model="troupe-tiny", prompt=PROMPT)
        self.assertLessEqual(answer.usage.completion_tokens, 16)

    def test_token_ids_are_the_text_that_they_spell(self):
        ids = oai.ask(self.url, "/tokenize", {"prompt": PROMPT}).json["tokens"]
        self.assertEqual(self.complete(prompt=ids).choices, self.complete().choices)

    def test_prompts_of_a_batch_are_answered_in_order(self):
        prompts = [PROMPT, "A lighthouse is", "The sea"]
        ids = [oai.ask(self.url, "/tokenize", {"prompt": p}).json["tokens"] for p in prompts]
        alone = [self.complete(prompt=prompt).choices[0].text for prompt in prompts]
        for batch in (prompts, ids):
            answer = self.complete(prompt=batch)
            self.assertEqual([choice.index for choice in answer.choices], [0, 1, 2])
            self.assertEqual([choice.text for choice in answer.choices], alone)
        texts, usage = ["", "", ""], None
        options = {"stream": True, "stream_options": {"include_usage": True}}
        for chunk in self.complete(prompt=prompts, **options):
            for choice in chunk.choices:
                texts[choice.index] += choice.text
            usage = chunk.usage or usage
        self.assertEqual(texts, alone)
        self.assertEqual(usage, answer.usage)

    def test_an_echo_stands_in_front(self):
        plain, echo = self.complete(), self.complete(echo=True)
        self.assertEqual(echo.choices[0].text, PROMPT + plain.choices[0].text)
        streamed = self.complete(echo=True, stream=True)
        self.assertEqual("".join(c.choices[0].text for c in streamed), echo.choices[0].text)

    def test_logprobs_whole_and_streamed_are_equal(self):
        whole = self.complete(logprobs=0).choices[0]
        self.assertEqual("".join(whole.logprobs.tokens), whole.text)
        ends = [sum(map(len, whole.logprobs.tokens[:i])) for i in range(len(whole.logprobs.tokens))]
        self.assertEqual(whole.logprobs.text_offset, ends)
        parts = [c.choices[0].logprobs for c in self.complete(logprobs=0, stream=True)]
        for member in ("tokens", "token_logprobs", "text_offset"):
            joined = [entry for part in parts if part for entry in getattr(part, member)]
            self.assertEqual(joined, getattr(whole.logprobs, member))
        self.assertTrue(all(math.isfinite(one) for one in whole.logprobs.token_logprobs))


    def test_alternatives_by_their_text(self):
        logprobs = self.complete(logprobs=3).choices[0].logprobs
        for token, logprob, top in zip(logprobs.tokens, logprobs.token_logprobs,
                                       logprobs.top_logprobs):
            self.assertLessEqual(len(top), 3)
            self.assertEqual((top[token], max(top.values())), (logprob, logprob))

    def test_choices_of_several_prompts(self):
        options = {"n": 2, "best_of": 2, "seed": 3, "temperature": 1}
        both = self.complete(prompt=[PROMPT, "The sea"], **options)
        alone = [self.complete(prompt=prompt, **options) for prompt in (PROMPT, "The sea")]
        self.assertEqual([choice.index for choice in both.choices], [0, 1, 2, 3])
        self.assertEqual([choice.text for choice in both.choices],
                         [choice.text for answer in alone for choice in answer.choices])
        self.assertEqual(both.usage.prompt_tokens, sum(a.usage.prompt_tokens for a in alone))


class LoglikelihoodTest(ServedTest):
    """What lm-eval asks: how likely is the end of a prompt, token by token."""

    LISTS = ("tokens", "token_logprobs", "top_logprobs", "text_offset")
    CONTEXT, END = "The naïve 🦔 saw a light", " house — and 漢字"

    def ids(self, text):
        asked = {"prompt": text, "add_special_tokens": False}
        return oai.ask(self.url, "/tokenize", asked).json["tokens"]

    def test_an_echo_tells_of_every_token_where_it_stands(self):
        for prompt in (self.CONTEXT + self.END, self.ids(self.CONTEXT + self.END), [77]):
            for max_tokens in (0, 1, 5):
                options = {"prompt": prompt, "echo": True, "logprobs": 2, "max_tokens": max_tokens}
                answer = self.complete(**options, extra_body={"return_token_ids": True})
                choice, told = answer.choices[0], answer.choices[0].logprobs
                self.check(choice, told, max_tokens)
                text, joined = "", {name: [] for name in self.LISTS}
                for chunk in self.complete(**options, stream=True):
                    text += chunk.choices[0].text
                    for name in self.LISTS if chunk.choices[0].logprobs else ():
                        joined[name] += getattr(chunk.choices[0].logprobs, name)
                lists = {name: getattr(told, name) for name in self.LISTS}
                self.assertEqual((text, joined), (choice.text, lists))

    def check(self, choice, told, max_tokens):
        count = len(choice.prompt_token_ids) + len(choice.token_ids)
        for name in self.LISTS:
            self.assertEqual(len(getattr(told, name)), count, name)
        self.assertLessEqual(len(choice.token_ids), max_tokens)
        self.assertEqual((told.token_logprobs[0], told.top_logprobs[0]), (None, None))
        for token, logprob, top in list(zip(told.tokens, told.token_logprobs,
                                            told.top_logprobs))[1:]:
            self.assertIn(token, top)
            self.assertLessEqual(logprob, max(top.values()))
        self.assertEqual(told.text_offset, sorted(told.text_offset))
        for offset, token in zip(told.text_offset, told.tokens):
            if "\ufffd" not in token and not token.startswith("<｜"):
                self.assertEqual(choice.text[offset:][: len(token)], token)

    def test_the_sum_is_that_of_the_tokens_one_by_one(self):
        context, end = self.ids(self.CONTEXT), self.ids(self.END)
        asked = {"prompt": [context + end], "echo": True, "max_tokens": 1, "logprobs": 1}
        told = self.complete(**asked).choices[0].logprobs
        scored = told.token_logprobs[len(context) : -1]
        self.assertEqual(len(scored), len(end))
        for i, logprob in enumerate(scored):
            forced = self.complete(prompt=context + end[:i], max_tokens=1, logprobs=0,
                                   logit_bias={str(end[i]): 100})
            self.assertEqual(forced.choices[0].logprobs.token_logprobs, [logprob])

    def test_choices_and_prompts_have_their_own_echo(self):
        answer = self.complete(prompt=["The sea", "A ship"], n=2, echo=True, logprobs=1, seed=1,
                               temperature=1)
        firsts = [choice.logprobs.top_logprobs[1] for choice in answer.choices]
        self.assertEqual(firsts[0], firsts[1])
        self.assertEqual(firsts[2], firsts[3])
        self.assertNotEqual(firsts[0], firsts[2])
        for choice, prompt in zip(answer.choices, ("The sea", "The sea", "A ship", "A ship")):
            self.assertTrue(choice.text.startswith(prompt))

    def test_logprobs_of_the_prompt_come_once_in_a_stream(self):
        for path, body in (
            ("/v1/chat/completions", {"messages": QUESTION, "n": 2}),
            ("/v1/completions", {"prompt": ["The sea", "A ship"], "n": 2}),
            ("/v1/completions", {"prompt": "The sea", "echo": True, "logprobs": 1}),
            ("/v1/completions", {"prompt": [5], "n": 2}),
            ("/v1/completions", {"prompt": "The sea", "max_tokens": 0}),
        ):
            body = {"max_tokens": 6, "temperature": 0, "prompt_logprobs": 2, **body}
            with self.subTest(path=path, body=body):
                whole = oai.ask(self.url, path, body).json
                events = oai.ask(self.url, path, {**body, "stream": True}).events
                self.assertEqual(events[-1], "[DONE]")
                told, begun = {}, set()
                for event in events[:-1]:
                    for choice in event["choices"]:
                        place = event if "messages" in body else choice
                        if "prompt_logprobs" in place:
                            self.assertNotIn(choice["index"], told)
                            self.assertNotIn(choice["index"], begun, "the text was first")
                            told[choice["index"]] = place["prompt_logprobs"]
                        if choice.get("text") or choice.get("delta", {}).get("content"):
                            begun.add(choice["index"])
                if "messages" in body:
                    self.assertEqual(told, {0: whole["prompt_logprobs"]})
                else:
                    self.assertEqual(told, {
                        choice["index"]: choice["prompt_logprobs"]
                        for choice in whole["choices"] if "prompt_logprobs" in choice})

    def test_logprobs_of_the_prompt_alone(self):
        body = {"prompt": "The sea", "max_tokens": 0, "prompt_logprobs": 1}
        choice = oai.ask(self.url, "/v1/completions", body).json["choices"][0]
        self.assertEqual((choice["text"], choice["finish_reason"]), ("", "length"))
        self.assertIsNone(choice["prompt_logprobs"][0])
        self.assertTrue(all(choice["prompt_logprobs"][1:]))


class TextTest(ServedTest):
    def test_models(self):
        models = self.openai.models.list().data
        self.assertEqual([model.id for model in models], ["troupe-tiny"])
        self.assertEqual(models[0].max_model_len, 4096)
        self.assertEqual(self.openai.models.retrieve("troupe-tiny"), models[0])
        with self.assertRaises(openai.NotFoundError) as caught:
            self.openai.models.retrieve("gpt")
        self.assertEqual(caught.exception.code, "model_not_found")

    def test_tokens_there_and_back(self):
        text = "A lighthouse, naïve 中文 😀"
        ids = oai.ask(self.url, "/tokenize", {"prompt": text, "add_special_tokens": False}).json
        self.assertEqual(ids["count"], len(ids["tokens"]))
        self.assertEqual(ids["max_model_len"], 4096)
        back = oai.ask(self.url, "/detokenize", {"tokens": ids["tokens"]}).json
        self.assertEqual((back["prompt"], back["content"]), (text, text))

    def test_a_template_applied_is_the_prompt_of_the_chat(self):
        prompt = oai.ask(self.url, "/apply-template", {"messages": QUESTION}).json
        counted = oai.ask(self.url, "/tokenize", {"messages": QUESTION}).json
        self.assertEqual(counted["tokens"], prompt["tokens"])
        self.assertIn(QUESTION[0]["content"], prompt["prompt"])
        self.assertEqual(self.chat().usage.prompt_tokens, len(prompt["tokens"]))
        answer = self.complete(prompt=prompt["tokens"], max_tokens=24)
        self.assertEqual(answer.choices[0].text, self.chat().choices[0].message.content)

    def test_probes_and_facts(self):
        for path in ("/livez", "/readyz", "/startupz"):
            self.assertEqual(oai.ask(self.url, path).body, b"ok\n")
            self.assertTrue(oai.ask(self.url, path + "?verbose").body.endswith(b"ok\n"))
        self.assertEqual(oai.ask(self.url, "/health").json, {"status": "ok"})
        self.assertIn("version", oai.ask(self.url, "/version").json)
        self.assertEqual(oai.ask(self.url, "/props").json["model_alias"], "troupe-tiny")

    def test_ids_of_the_client_are_echoed(self):
        trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
        sent = {"X-Request-Id": "mine-1", "traceparent": trace}
        for path, body in (("/livez", None), ("/v1/chat/completions", {"messages": 1}),
                           ("/v1/completions", {"prompt": "a", "max_tokens": 1, "stream": True})):
            answer = oai.ask(self.url, path, body, headers=sent)
            self.assertEqual(answer.headers["x-request-id"], "mine-1")
            self.assertEqual(answer.headers["traceparent"], trace)
        made = [oai.ask(self.url, "/livez", headers={"X-Request-Id": bad, "traceparent": bad})
                for bad in ("a b", "x" * 129)]
        for answer in made:
            self.assertRegex(answer.headers["x-request-id"], "^req-[0-9a-f]{32}$")
            self.assertRegex(answer.headers["traceparent"], "^00-[0-9a-f]{32}-[0-9a-f]{16}-00$")


class StrictTest(ServedTest):
    FLAGS = ("--strict-api", "true")

    def test_unknown_fields_are_refused_by_name(self):
        with self.assertRaises(openai.BadRequestError) as caught:
            self.chat(extra_body={"unheard_of": 1})
        self.assertEqual(caught.exception.param, "unheard_of")
        self.assertTrue(self.chat().choices)


class ManyTest(ServedTest):
    def test_threads_of_clients_share_connections(self):
        alone = self.complete().choices
        with concurrent.futures.ThreadPoolExecutor(16) as pool:
            answers = list(pool.map(lambda _: self.complete(), range(48)))
        self.assertTrue(all(answer.choices == alone for answer in answers))
        self.assertEqual(json.loads(oai.ask(self.url, "/version").body).keys(), {"version"})


if __name__ == "__main__":
    unittest.main(verbosity=2)
