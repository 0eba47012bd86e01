// Planning of pairs, matching of replies, recall and loss.
#include "actors/router/dispatch_ledger.hpp"

#include <algorithm>
#include <set>

#include "proto/identity.hpp"

namespace troupe::actors {

RouterItem& DispatchLedger::open(PeerId asker, std::shared_ptr<transport::ReceivedFrame> frame,
                                 TimePoint deadline) {
  auto& item = items_[next_item_];
  item.id = next_item_++;
  item.asker = asker;
  item.deadline = deadline;
  item.rows = std::get<proto::Rows>(frame->body).rows.rows;
  item.frame = std::move(frame);
  return item;
}

RouterItem* DispatchLedger::find(ItemId item) {
  const auto found = items_.find(item);
  return found == items_.end() ? nullptr : &found->second;
}

const RouterItem* DispatchLedger::find(ItemId item) const {
  const auto found = items_.find(item);
  return found == items_.end() ? nullptr : &found->second;
}

bool DispatchLedger::serves(PeerId asker, const proto::FrameHeader& header) const {
  return std::any_of(items_.begin(), items_.end(), [&](const auto& entry) {
    const auto& item = entry.second;
    return item.asker == asker && item.header().work_id == header.work_id &&
           item.header().attempt == header.attempt;
  });
}

void DispatchLedger::set_routing(RouterItem& item, model::Routing routing) {
  item.routing = std::move(routing);
  item.open_slots = static_cast<std::int64_t>(item.routing.experts.size());
  item.replies.assign(item.routing.experts.size(), nullptr);
  for (std::int32_t slot = 0; slot < item.open_slots; ++slot) item.waiting.push_back({slot, 0, {}});
}

void DispatchLedger::close(ItemId item) {
  items_.erase(item);
  for (auto& [id, dispatch] : dispatches_)
    if (dispatch.item == item) dispatch.item = 0;
}

std::span<const std::int64_t> DispatchLedger::outstanding_rows(std::size_t shards) {
  if (outstanding_.size() < shards) outstanding_.resize(shards, 0);
  return outstanding_;
}

std::vector<std::uint64_t> DispatchLedger::plan(RouterItem& item, const model::Placement& placement,
                                                TimePoint now) {
  std::vector<WaitingSlot> ready;
  std::erase_if(item.waiting, [&](const WaitingSlot& slot) {
    if (slot.not_before > now) return false;
    ready.push_back(slot);
    return true;
  });
  if (ready.empty()) return {};
  std::sort(ready.begin(), ready.end(),
            [](const auto& a, const auto& b) { return a.slot < b.slot; });
  // A first plan groups unique rows; what has to be asked again goes pair by pair.
  const bool whole = ready.size() == item.replies.size();
  model::Routing some;
  if (!whole)
    for (const auto& slot : ready)
      some.experts.push_back(item.routing.experts[static_cast<std::size_t>(slot.slot)]);
  std::vector<std::uint64_t> made;
  bool uncovered = false;
  for (auto& part :
       model::plan_dispatch(whole ? item.routing : some, whole ? rules_.experts_per_token : 1,
                            placement, item.header().layer, outstanding_, rules_.rows_max)) {
    uncovered |= part.shard < 0;
    if (part.shard >= 0)
      made.push_back(add(item, std::move(part), ready, whole).work_id);
    else
      for (const auto& pair : part.pairs)
        item.waiting.push_back(ready[static_cast<std::size_t>(pair.slot)]);
  }
  if (!uncovered) item.uncovered_since.reset();
  if (uncovered && !item.uncovered_since) item.uncovered_since = now;
  return made;
}

Dispatch& DispatchLedger::add(const RouterItem& item, model::ShardDispatch part,
                              std::span<const WaitingSlot> ready, bool whole) {
  auto& dispatch = dispatches_[next_work_];
  dispatch.work_id = next_work_++;
  dispatch.item = item.id;
  dispatch.shard = part.shard;
  dispatch.rows = std::move(part.rows);
  dispatch.pairs = std::move(part.pairs);
  const auto at = [&](std::int32_t i) { return ready[static_cast<std::size_t>(i)]; };
  for (auto& pair : dispatch.pairs) {
    dispatch.misses = std::max(dispatch.misses, at(pair.slot).misses);
    pair.slot = at(pair.slot).slot;
  }
  if (!whole)  // "rows" of the plan were places in `ready`
    for (auto& row : dispatch.rows)
      row = at(row).slot / static_cast<std::int32_t>(rules_.experts_per_token);
  dispatch.answered.assign(dispatch.pairs.size(), false);
  dispatch.open_pairs = static_cast<std::int64_t>(dispatch.pairs.size());
  outstanding_[static_cast<std::size_t>(part.shard)] +=
      static_cast<std::int64_t>(dispatch.rows.size());
  return dispatch;
}

Dispatch* DispatchLedger::dispatch(std::uint64_t work_id) {
  const auto found = dispatches_.find(work_id);
  return found == dispatches_.end() ? nullptr : &found->second;
}

void DispatchLedger::finish_dispatch(std::map<std::uint64_t, Dispatch>::iterator found) {
  outstanding_[static_cast<std::size_t>(found->second.shard)] -=
      static_cast<std::int64_t>(found->second.rows.size());
  dispatches_.erase(found);
}

void DispatchLedger::recall(std::uint64_t work_id, TimePoint not_before) {
  const auto found = dispatches_.find(work_id);
  if (found == dispatches_.end()) return;
  const auto& dispatch = found->second;
  if (auto* item = find(dispatch.item))
    for (std::size_t i = 0; i < dispatch.pairs.size(); ++i)
      if (!dispatch.answered[i])
        item->waiting.push_back({dispatch.pairs[i].slot, dispatch.misses, not_before});
  finish_dispatch(found);
}

DispatchLedger::Outcome DispatchLedger::answer(
    PeerId expert, const std::shared_ptr<transport::ReceivedFrame>& frame, TimePoint now) {
  Outcome outcome;
  const auto& reply = std::get<proto::ExpertReply>(frame->body);
  const auto found = dispatches_.find(frame->header.work_id);
  const bool ours = found != dispatches_.end() &&
                    found->second.shard == static_cast<model::ShardIndex>(index_of(expert)) &&
                    proto::answers(found->second.header, frame->header);
  const bool shaped = reply.rows.rows == 0 ||
                      (reply.rows.width == rules_.width && reply.rows.dtype == rules_.dtype);
  if (!ours || !shaped) return outcome.stale = true, outcome;
  auto& dispatch = found->second;
  auto* item = find(dispatch.item);
  outcome.item = dispatch.item;
  const std::byte* row = reply.rows.data.data();
  for (const auto& pair : reply.pairs) {
    const bool ok = pair.status == static_cast<std::uint16_t>(proto::PairStatus::ok);
    take_pair(dispatch, item, pair, row, now, outcome);
    if (ok) row += rules_.row_bytes;
  }
  if (item != nullptr) {
    item->reply_frames.push_back(frame);
    outcome.complete = item->open_slots == 0;
  }
  if (dispatch.open_pairs == 0) {
    outcome.rows = static_cast<std::int64_t>(dispatch.rows.size());
    outcome.lane = static_cast<proto::Lane>(dispatch.header.lane);
    finish_dispatch(found);
  }
  return outcome;
}

void DispatchLedger::take_pair(Dispatch& dispatch, RouterItem* item, const proto::ReplyPair& pair,
                               const std::byte* row, TimePoint now, Outcome& outcome) {
  const auto less = [](const auto& a, const auto& b) {
    return a.expert != b.expert ? a.expert < b.expert : a.row < b.row;
  };
  const model::ShardDispatch::Pair key{static_cast<std::int32_t>(pair.row),
                                       static_cast<std::int32_t>(pair.expert), 0};
  const auto at = std::lower_bound(dispatch.pairs.begin(), dispatch.pairs.end(), key, less);
  if (at == dispatch.pairs.end() || less(key, *at)) return;  // never asked
  const auto index = static_cast<std::size_t>(at - dispatch.pairs.begin());
  if (dispatch.answered[index]) return;
  dispatch.answered[index] = true;
  --dispatch.open_pairs;
  if (item == nullptr) return;
  switch (static_cast<proto::PairStatus>(pair.status)) {
    case proto::PairStatus::ok:
      item->replies[static_cast<std::size_t>(at->slot)] = row;
      --item->open_slots;
      return;
    case proto::PairStatus::overloaded:
      item->waiting.push_back({at->slot, dispatch.misses, now + rules_.backoff});
      return;
    case proto::PairStatus::not_resident: break;
  }
  outcome.missed = true;
  const std::uint32_t misses = dispatch.misses + 1;
  if (misses > rules_.misses_max) outcome.exhausted = "expert " + std::to_string(pair.expert);
  item->waiting.push_back({at->slot, misses, now + rules_.backoff * (1 << std::min(misses, 8u))});
}

std::optional<Dispatch> DispatchLedger::refused(PeerId expert, const proto::FrameHeader& reply) {
  const auto found = dispatches_.find(reply.work_id);
  if (found == dispatches_.end() ||
      found->second.shard != static_cast<model::ShardIndex>(index_of(expert)) ||
      !proto::answers(found->second.header, reply))
    return std::nullopt;
  Dispatch dispatch = found->second;
  finish_dispatch(found);
  return dispatch;
}

std::int64_t DispatchLedger::shard_lost(model::ShardIndex shard) {
  std::vector<std::uint64_t> there;
  for (const auto& [id, dispatch] : dispatches_)
    if (dispatch.shard == shard) there.push_back(id);
  for (const auto id : there) recall(id, {});
  return static_cast<std::int64_t>(there.size());
}

std::int64_t DispatchLedger::open_rows() const {
  std::int64_t rows = 0;
  for (const auto& [id, item] : items_) rows += item.rows;
  return rows;
}

std::vector<ItemId> DispatchLedger::items() const {
  std::vector<ItemId> ids;
  for (const auto& [id, item] : items_) ids.push_back(id);
  return ids;
}

std::vector<ItemId> DispatchLedger::items_of(PeerId asker) const {
  std::vector<ItemId> ids;
  for (const auto& [id, item] : items_)
    if (item.asker == asker) ids.push_back(id);
  return ids;
}

std::string DispatchLedger::missing(const RouterItem& item) const {
  std::set<std::int32_t> experts;
  std::set<model::ShardIndex> shards;
  for (std::size_t slot = 0; slot < item.replies.size(); ++slot)
    if (item.replies[slot] == nullptr) experts.insert(item.routing.experts[slot]);
  for (const auto& [id, dispatch] : dispatches_)
    if (dispatch.item == item.id) shards.insert(dispatch.shard);
  std::string text = "layer " + std::to_string(item.header().layer) + ", experts";
  if (experts.empty()) text += " not yet chosen";
  int named = 0;
  for (const auto expert : experts) {
    if (++named > 8) {
      text += " and " + std::to_string(experts.size() - 8) + " more";
      break;
    }
    text += (named > 1 ? ", " : " ") + std::to_string(expert);
  }
  for (const auto shard : shards)
    text +=
        ", asked of " + name_of(peer_id(proto::Role::expert, static_cast<std::uint32_t>(shard)));
  return text;
}

}  // namespace troupe::actors
