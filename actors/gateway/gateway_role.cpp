// Submits, leases and deliveries.
#include "actors/gateway/gateway_role.hpp"

#include <algorithm>
#include <string>

#include "actors/submit_codec.hpp"
#include "proto/identity.hpp"

namespace troupe::actors {
namespace {

std::vector<model::TokenLogprob> read_alternatives(
    const proto::PackedArray<proto::TokenLogprob>& packed, std::size_t first, std::size_t count) {
  std::vector<model::TokenLogprob> alternatives;
  for (std::size_t i = first; i < first + count; ++i)
    alternatives.push_back({packed[i].token, packed[i].logprob});
  return alternatives;
}

/// Of what a request may generate, so much counts as load: most answers end before their limit.
constexpr std::int64_t kForesight = 256;
/// Lease periods for which it counts what a shard does for other gateways.
constexpr int kOthersKnown = 3;

}  // namespace

GatewayRole::GatewayRole(const RoleContext& context, GatewaySettings settings, Sink& sink)
    : Role(context),
      settings_(settings),
      sink_(sink),
      unread_bytes_(std::make_shared<std::atomic<std::int64_t>>(0)) {}

bool GatewayRole::takes_frames() const {
  return unread_bytes_->load(std::memory_order_acquire) < settings_.unread_bytes_max;
}

Expected<PeerId> GatewayRole::pick_shard(const SubmitOrder& order) {
  std::vector<PeerId> there;
  for (const auto& [shard, state] : shards_) there.push_back(shard);
  if (there.empty())
    return unexpected(Errc::unavailable, "no attention shard is connected" +
                                             (last_gone_.empty() ? "" : " (" + last_gone_ + ")") +
                                             "; repeat the request once one is back");
  there = standings_->preferred(there);
  if (order.attempt == 0 && standings_->of(there.front()) == MemberState::draining)
    return unexpected(Errc::unavailable, name_of(there.front()) +
                                             " is draining and no other attention shard is "
                                             "connected; repeat the request once one is");
  return picker_.pick(*order.asked, order.request, loads(there));
}

ShardPicker::Loads GatewayRole::loads(std::span<const PeerId> shards) const {
  ShardPicker::Loads loads;
  for (const PeerId shard : shards) {
    const auto& state = shards_.at(shard);
    const bool fresh = now() - state.others_at < kOthersKnown * settings_.lease_period;
    loads[shard] = fresh ? state.others_tokens : 0;
  }
  for (const auto& [request, open] : open_)
    if (const auto load = loads.find(open.shard); load != loads.end())
      load->second += open.tokens + std::min(open.left, kForesight);
  return loads;
}

std::int64_t GatewayRole::own_tokens(PeerId shard) const {
  std::int64_t tokens = 0;
  for (const auto& [request, open] : open_)
    if (open.shard == shard) tokens += open.tokens;
  return tokens;
}

void GatewayRole::close(std::map<RequestId, Open>::iterator open) {
  picker_.ends(open->first);
  open_.erase(open);
}

Expected<void> GatewayRole::submit(const SubmitOrder& order, TimePoint now) {
  const auto& sampling = order.asked->sampling;
  if (order.attempt == 0 && open_.size() >= settings_.requests_max)
    return unexpected(Errc::overloaded, std::to_string(open_.size()) +
                                            " requests are open (requests_max); try again later");
  const SubmitBody submit(*order.asked, order.request, order.tokens);
  if (auto fine = submit.check(); !fine) return fine;
  const auto picked = pick_shard(order);
  if (!picked) return unexpected(picked.error());
  const PeerId shard = *picked;
  auto header = peers_.header();
  header.work_id = order.request;
  header.attempt = order.attempt;
  header.kind = static_cast<std::uint16_t>(proto::FrameKind::submit);
  if (order.remaining)
    header.remaining_us = static_cast<std::uint64_t>(std::max<std::int64_t>(
        1, std::chrono::duration_cast<std::chrono::microseconds>(*order.remaining).count()));
  const auto prompt = static_cast<std::int64_t>(order.asked->prompt.size());
  const auto tokens = static_cast<std::int64_t>(order.tokens.size());
  if (!has_requests(shard)) {
    shards_[shard].heard = now;  // begins to count now
    shards_[shard].lease_due = TimePoint{};
  }
  open_[order.request] = {.attempt = order.attempt,
                          .shard = shard,
                          .tokens = tokens,
                          .left = prompt + sampling.max_tokens - tokens,
                          .header = header,
                          .began = now};
  ++requests_total_;
  if (order.attempt > 0) ++replays_total_;
  peers_.send(shard, transport::make_frame(peers_.buffers(), header, submit.body()));
  return {};
}

void GatewayRole::cancel(RequestId request) {
  const auto found = open_.find(request);
  if (found == open_.end()) return;
  auto header = found->second.header;
  header.kind = 0;
  header.remaining_us = 0;
  const auto shard = found->second.shard;
  close(found);
  const proto::Cancel cancel{static_cast<std::uint16_t>(Errc::cancelled)};
  peers_.send(shard, transport::make_frame(peers_.buffers(), header, cancel));
}

std::vector<RequestId> GatewayRole::open_requests() const {
  std::vector<RequestId> requests;
  for (const auto& [request, open] : open_) requests.push_back(request);
  return requests;
}

void GatewayRole::on_joined(PeerId peer) {
  shards_[peer] = {};
  shards_[peer].heard = now();
}

void GatewayRole::on_lost(PeerId peer, const Error& why) {
  shards_.erase(peer);
  picker_.forget(peer);
  last_gone_ = why.detail;
  std::vector<std::pair<RequestId, std::uint32_t>> gone;
  for (const auto& [request, open] : open_)
    if (open.shard == peer) gone.emplace_back(request, open.attempt);
  for (const auto& [request, attempt] : gone) {
    close(open_.find(request));
    sink_.on_broken(request, {attempt, true, why});
  }
}

void GatewayRole::on_frame(PeerId peer, transport::ReceivedFrame&& frame) {
  shards_[peer].heard = now();
  if (frame.header.kind == static_cast<std::uint16_t>(proto::FrameKind::lease))
    return on_lease_echo(peer, frame);
  const auto found = open_.find(frame.header.work_id);
  if (found == open_.end() || found->second.shard != peer ||
      !proto::answers(found->second.header, frame.header))
    return peers_.count_stale(peer);
  const RequestId request = found->first;
  const Open open = found->second;
  switch (static_cast<proto::FrameKind>(frame.header.kind)) {
    case proto::FrameKind::tokens: return deliver_tokens(request, open, frame);
    case proto::FrameKind::prompt_logprobs: return deliver_logprobs(request, open, frame);
    case proto::FrameKind::logits: return deliver_logits(request, open, std::move(frame));
    default: {
      const auto& failed = std::get<proto::Failed>(frame.body);
      if (frame.whole())
        close(found);
      else
        cancel(request);  // the shard goes on: it was this gateway that had no memory
      sink_.on_broken(
          request,
          {open.attempt, false, {static_cast<Errc>(failed.error), std::string(failed.detail)}});
    }
  }
}

void GatewayRole::deliver_tokens(RequestId request, const Open& open,
                                 const transport::ReceivedFrame& frame) {
  const auto& tokens = std::get<proto::Tokens>(frame.body);
  auto& kept = open_.at(request);
  const auto fresh = static_cast<std::int64_t>(tokens.entries.size());
  kept.tokens += fresh;
  kept.left -= fresh;
  if (tokens.prompt_done > 0) kept.queued = false;
  TokensNote note;
  note.attempt = open.attempt;
  note.entries = tokens.entries.to_vector();
  note.top = read_alternatives(tokens.top, 0, tokens.top.size());
  note.prompt_done = tokens.prompt_done;
  note.cached_tokens = tokens.cached_tokens;
  note.queued = std::chrono::microseconds(tokens.queue_us);
  if (tokens.finish != proto::Finish::none) {
    note.finish = read_finish(tokens.finish);
    note.error = {static_cast<Errc>(tokens.error), std::string(tokens.detail)};
    close(open_.find(request));
  }
  sink_.on_tokens(request, std::move(note));
}

void GatewayRole::deliver_logprobs(RequestId request, const Open& open,
                                   const transport::ReceivedFrame& frame) {
  const auto& body = std::get<proto::PromptLogprobs>(frame.body);
  PromptLogprobsNote note{open.attempt, body.first_position, {}};
  for (std::size_t i = 0; i < body.entries.size(); ++i) {
    const auto entry = body.entries[i];
    note.logprobs.push_back({entry.token, entry.logprob,
                             read_alternatives(body.top, i * body.top_count, body.top_count),
                             body.ranks.empty() ? 0 : static_cast<std::int32_t>(body.ranks[i])});
  }
  sink_.on_prompt_logprobs(request, std::move(note));
}

void GatewayRole::deliver_logits(RequestId request, const Open& open,
                                 transport::ReceivedFrame&& frame) {
  const auto bytes = static_cast<std::int64_t>(frame.bytes.size());
  unread_bytes_->fetch_add(bytes, std::memory_order_relaxed);
  auto kept = std::shared_ptr<const transport::ReceivedFrame>(
      new transport::ReceivedFrame(std::move(frame)),
      [bytes, unread = unread_bytes_, wire = wire_, &bell = bell_](const auto* read) {
        delete read;
        unread->fetch_sub(bytes, std::memory_order_release);
        bell.ring();  // the wire keeps the bell
      });
  sink_.on_logits(request, {open.attempt, std::move(kept)});
}

bool GatewayRole::has_requests(PeerId shard) const {
  return std::any_of(open_.begin(), open_.end(),
                     [shard](const auto& entry) { return entry.second.shard == shard; });
}

void GatewayRole::send_lease(PeerId shard) {
  const auto number = ++shards_[shard].leases_sent;
  std::vector<std::uint64_t> requests;
  for (auto& [request, open] : open_) {
    if (open.shard != shard || requests.size() == proto::kLeasesMax) continue;
    requests.push_back(request);
    if (open.first_leased == 0) open.first_leased = number;
  }
  const auto duration = std::chrono::microseconds(settings_.lease).count();
  auto header = peers_.header();
  header.work_id = number;
  peers_.send(shard,
              transport::make_frame(peers_.buffers(), header,
                                    proto::Lease{static_cast<std::uint64_t>(duration), requests}));
}

void GatewayRole::on_lease_echo(PeerId shard, const transport::ReceivedFrame& frame) {
  // Frames keep their order: what this lease named and the shard had finished was heard of before.
  const auto number = frame.header.work_id;
  const auto& echo = std::get<proto::Lease>(frame.body);
  const auto kept = echo.work_ids.to_vector();
  auto& state = shards_.at(shard);
  state.others_tokens = std::max<std::int64_t>(0, echo.open_tokens - own_tokens(shard));
  state.others_at = now();
  std::vector<std::pair<RequestId, std::uint32_t>> gone;
  for (const auto& [request, open] : open_)
    if (open.shard == shard && open.first_leased != 0 && open.first_leased <= number &&
        std::find(kept.begin(), kept.end(), request) == kept.end())
      gone.emplace_back(request, open.attempt);
  const Error why{Errc::unavailable,
                  name_of(shard) + " gave the request up: its lease had not been renewed"};
  for (const auto& [request, attempt] : gone) {
    close(open_.find(request));
    sink_.on_broken(request, {attempt, true, why});
  }
}

bool GatewayRole::work() {
  std::vector<PeerId> silent;
  for (auto& [shard, state] : shards_) {
    if (!has_requests(shard)) continue;
    if (took_frames() && now() - state.heard >= settings_.silence_budget) silent.push_back(shard);
    if (state.lease_due > now()) continue;
    state.lease_due = now() + settings_.lease_period;
    send_lease(shard);
  }
  for (const auto shard : silent) {
    const Error why{Errc::unavailable, name_of(shard) + " has been silent for " +
                                           std::to_string(settings_.silence_budget.count()) +
                                           " ms"};
    peers_.drop(shard, why);
    on_lost(shard, why);
  }
  return !silent.empty();
}

std::optional<TimePoint> GatewayRole::role_deadline() const {
  std::optional<TimePoint> next;
  const auto sooner = [&](TimePoint time) {
    if (!next || time < *next) next = time;
  };
  for (const auto& [shard, state] : shards_) {
    if (!has_requests(shard)) continue;
    sooner(state.lease_due);
    if (takes_frames()) sooner(state.heard + settings_.silence_budget);
  }
  return next;
}

RoleLoad GatewayRole::load() const {
  RoleLoad load;
  for (const auto& [request, open] : open_)
    if (!load.oldest_work || open.began < *load.oldest_work) load.oldest_work = open.began;
  load.queued_rows = open_.size();
  return load;
}

GatewayStatus GatewayRole::status() const {
  const auto queued = std::count_if(open_.begin(), open_.end(),
                                    [](const auto& entry) { return entry.second.queued; });
  return {static_cast<std::int64_t>(open_.size()),
          static_cast<std::int64_t>(queued),
          requests_total_,
          replays_total_,
          static_cast<std::int64_t>(shards_.size()),
          static_cast<std::int64_t>(peers_.stats().stale_frames_total)};
}

}  // namespace troupe::actors
