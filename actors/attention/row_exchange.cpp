// Splitting, sending, matching and asking again.
#include "actors/attention/row_exchange.hpp"

#include <algorithm>
#include <string>

namespace troupe::actors {
namespace {

std::string counted_rows(std::int64_t rows) {
  return std::to_string(rows) + (rows == 1 ? " row" : " rows");
}

}  // namespace

RowExchange::RowExchange(Peers& peers, std::shared_ptr<const PeerStandings> standings,
                         RowExchangeSettings settings)
    : peers_(peers),
      standings_(std::move(standings)),
      settings_(settings),
      ledger_(settings.micro_batches + settings.micro_batch, settings.micro_batches) {
  TROUPE_CHECK(settings.frame_rows_max >= 1 && settings.frame_rows_max <= proto::kRowsMax,
               "frame_rows_max is 1 to kRowsMax");
}

void RowExchange::begin(std::int32_t layer, proto::Lane lane, Packed packed,
                        std::span<const RowRange> ranges, TimePoint now) {
  TROUPE_CHECK(finished(), "one layer at a time");
  layer_ = layer;
  lane_ = lane;
  packed_ = std::move(packed);
  for (const auto& range : ranges) ledger_.open(range, now + settings_.hop_budget);
  tick(now);  // cuts them
}

std::int64_t RowExchange::frame_rows() const {
  // A frame must fit the smallest grant, or it would wait for credits for ever.
  auto rows_max = settings_.frame_rows_max;
  for (const auto router : peers_.joined_of(proto::Role::router)) {
    const auto grant = peers_.credits(router)->grant();
    rows_max = std::min<std::int64_t>(rows_max, grant.rows_max(lane_));
  }
  return std::max<std::int64_t>(rows_max, 1);
}

PeerId RowExchange::choose_router(const WorkItem& item) const {
  const auto live = peers_.joined_of(proto::Role::router);
  std::vector<PeerId> good;
  for (const auto router : live)
    if (!silent_.contains(router)) good.push_back(router);
  const auto from = standings_->preferred(good.empty() ? live : good);
  return from.empty() ? 0
                      : from[(item.work_id / settings_.micro_batches + item.asked) % from.size()];
}

std::chrono::microseconds RowExchange::budget(const WorkItem& item, TimePoint now) const {
  const std::chrono::microseconds hop = settings_.hop_budget;
  if (!item.covered_by) return hop;
  const auto left = std::chrono::duration_cast<std::chrono::microseconds>(*item.covered_by - now);
  return std::clamp(left, std::chrono::microseconds(1), hop);
}

bool RowExchange::try_send(WorkItem& item, TimePoint now) {
  const PeerId router = choose_router(item);
  auto* credits = peers_.credits(router);
  const auto rows = static_cast<std::uint32_t>(item.range.rows);
  if (credits == nullptr || !credits->reserve(rows, lane_)) return false;
  auto header = peers_.header();
  header.work_id = item.work_id;
  header.attempt = item.asked;
  header.layer = layer_;
  header.lane = static_cast<std::uint16_t>(lane_);
  header.kind = static_cast<std::uint16_t>(proto::FrameKind::rows);
  const auto allowed = budget(item, now);
  header.remaining_us = static_cast<std::uint64_t>(allowed.count());
  const auto row_bytes = proto::row_block_bytes(1, settings_.width, settings_.dtype);
  const auto bytes = packed_->span().subspan(
      static_cast<std::size_t>(item.range.first_row) * row_bytes, rows * row_bytes);
  const proto::Rows body{settings_.micro_batch, {rows, settings_.width, settings_.dtype, bytes}};
  auto frame = transport::make_frame_head(peers_.buffers(), header, body);
  frame.rows.push_back(bytes);
  // An eighth of the budget is for the way back: a router that gives up is heard before we do.
  ledger_.book(item, router, header, now + allowed + allowed / 8);
  item.sent = now;
  peers_.send(router, std::move(frame), [kept = packed_](Errc) {});
  return true;
}

bool RowExchange::tick(TimePoint now) {
  bool busy = false;
  renew_those_behind(now);
  for (const auto id : ledger_.expired(now)) {
    late(*ledger_.find(id), now);
    busy = true;
  }
  cut_waiting();
  for (const auto id : ledger_.at(0)) {
    auto& item = *ledger_.find(id);
    if (!item.alone || ledger_.goes_alone() == nullptr) busy |= try_send(item, now);
  }
  return busy;
}

/// Each time: a router that joins while rows wait may grant less than those before it.
void RowExchange::cut_waiting() {
  const auto waiting = ledger_.at(0);
  if (waiting.empty()) return;
  const auto rows_max = frame_rows();
  for (const auto id : waiting)
    if (ledger_.find(id)->range.rows > rows_max) ledger_.cut(id, rows_max);
}

/// Items that wait for one that goes alone do not wait for a router, as long as that one's lives.
void RowExchange::renew_those_behind(TimePoint now) {
  const auto* first = ledger_.goes_alone();
  if (first == nullptr || silent_.contains(first->router)) return;
  for (const auto id : ledger_.at(0))
    if (auto& item = *ledger_.find(id); item.alone) item.deadline = now + settings_.hop_budget;
}

void RowExchange::late(WorkItem& item, TimePoint now) {
  const bool waited_for_router = item.router == 0;
  if (!waited_for_router) silent_.insert(item.router);
  const auto live = peers_.joined_of(proto::Role::router);
  const bool other = std::any_of(live.begin(), live.end(),
                                 [this](PeerId router) { return !silent_.contains(router); });
  if (!waited_for_router && other && item.tries() < settings_.attempts_max) {
    ++resent_total_;
    return ledger_.unbook(item, now + settings_.hop_budget);
  }
  if (live.empty())
    return fail(item,
                {Errc::unavailable, "layer " + std::to_string(layer_) + ": no router is connected" +
                                        (last_gone_.empty() ? "" : " (" + last_gone_ + ")") +
                                        "; the request can be repeated once one is back"});
  const std::string what = waited_for_router
                               ? "no router had room for " + counted_rows(item.range.rows)
                               : name_of(item.router) + " did not answer";
  fail(item, {Errc::unavailable,
              "layer " + std::to_string(layer_) + ": " + what + " within the hop budget of " +
                  std::to_string(settings_.hop_budget.count()) + " ms (attempts: " +
                  std::to_string(item.tries()) + (waited_for_router ? under_way(now) : "") + ")"});
}

/// What each connected router has of this shard's rows, and for how long of this layer's.
std::string RowExchange::under_way(TimePoint now) const {
  std::string text;
  for (const auto router : peers_.joined_of(proto::Role::router)) {
    const auto& credits = *peers_.credits(router);
    text += "; " + name_of(router) + " has " + std::to_string(credits.used_total()) + " of " +
            counted_rows(credits.grant().rows_max(lane_));
    auto oldest = now;
    for (const auto id : ledger_.at(router)) oldest = std::min(oldest, ledger_.find(id)->sent);
    if (oldest < now)
      text += " for " +
              std::to_string(std::chrono::ceil<std::chrono::milliseconds>(now - oldest).count()) +
              " ms";
  }
  return text;
}

void RowExchange::fail(const WorkItem& item, Error error) {
  failures_.push_back({item.range, std::move(error)});
  ledger_.close(item.work_id);
}

void RowExchange::on_joined(PeerId router) { silent_.erase(router); }

void RowExchange::on_lost(PeerId router, const Error& why, TimePoint now) {
  last_gone_ = why.detail;
  silent_.erase(router);
  ledger_.forget(router);
  for (const auto id : ledger_.at(router)) {
    auto& item = *ledger_.find(id);
    ++resent_total_;
    if (item.tries() < settings_.attempts_max)
      ledger_.unbook(item, now + settings_.hop_budget);
    else
      fail(item, {Errc::unavailable, "layer " + std::to_string(layer_) + ": " + name_of(router) +
                                         " was lost, the last of " + std::to_string(item.tries()) +
                                         " attempts"});
  }
}

void RowExchange::return_credits(PeerId router, const proto::FrameHeader& reply) {
  const auto owed = ledger_.settle(router, reply);
  auto* credits = peers_.credits(router);
  if (!owed || credits == nullptr) return;
  const auto released = credits->release(static_cast<std::uint32_t>(owed->rows), owed->lane);
  TROUPE_CHECK(released.has_value(), "credits of one attempt are returned once");
}

bool RowExchange::fits(const WorkItem& item, const proto::RowBlock& rows) const {
  return rows.rows == item.range.rows && rows.width == settings_.width &&
         rows.dtype == settings_.dtype;
}

void RowExchange::on_combined(PeerId router, transport::ReceivedFrame&& frame) {
  silent_.erase(router);
  return_credits(router, frame.header);
  auto* item = ledger_.match(router, frame.header);
  const auto& combined = std::get<proto::Combined>(frame.body);
  if (item == nullptr || !fits(*item, combined.rows)) return peers_.count_stale(router);
  answers_.push_back({item->range, std::make_shared<transport::ReceivedFrame>(std::move(frame))});
  ledger_.close(item->work_id);
}

/// Whether the item is to be asked again because some expert of it may be covered yet.
bool RowExchange::waits_on(WorkItem& item, TimePoint now) {
  if (!item.covered_by) item.covered_by = item.sent + settings_.uncovered_budget;
  // What is left must be worth a question.
  if (now + settings_.hop_budget / 8 >= *item.covered_by) return false;
  ++item.waits;
  ledger_.unbook(item, now + settings_.hop_budget);
  return true;
}

/// Whether fewer rows are to be asked for at once, which takes less memory.
bool RowExchange::halve(const WorkItem& item, TimePoint now) {
  const auto [first, rows] = item.range;
  if (rows < 2) return false;
  ledger_.close(item.work_id);
  for (const RowRange half :
       {RowRange{first, rows / 2}, RowRange{first + rows / 2, rows - rows / 2}})
    ledger_.open(half, now + settings_.hop_budget).alone = true;
  return true;
}

void RowExchange::on_failed(PeerId router, const transport::ReceivedFrame& frame, TimePoint now) {
  silent_.erase(router);
  return_credits(router, frame.header);
  auto* item = ledger_.match(router, frame.header);
  if (item == nullptr) return peers_.count_stale(router);
  const auto& failed = std::get<proto::Failed>(frame.body);
  const auto uncovered = static_cast<std::uint16_t>(Errc::not_resident);
  if (failed.error == uncovered && failed.retry_after_ms > 0 && waits_on(*item, now)) return;
  const auto no_memory = static_cast<std::uint16_t>(Errc::resource_exhausted);
  if (failed.error == no_memory && halve(*item, now)) return;
  fail(*item, {static_cast<Errc>(failed.error), std::string(failed.detail)});
}

}  // namespace troupe::actors
