// Bookkeeping of work items and borrowed credits.
#include "actors/attention/work_ledger.hpp"

#include <algorithm>

namespace troupe::actors {

WorkItem& WorkLedger::open(RowRange range, TimePoint deadline) {
  auto& item = items_[next_id_];
  item.work_id = next_id_;
  next_id_ += step_;
  item.range = range;
  item.deadline = deadline;
  return item;
}

WorkItem* WorkLedger::find(std::uint64_t work_id) {
  const auto found = items_.find(work_id);
  return found == items_.end() ? nullptr : &found->second;
}

const WorkItem* WorkLedger::find(std::uint64_t work_id) const {
  const auto found = items_.find(work_id);
  return found == items_.end() ? nullptr : &found->second;
}

void WorkLedger::book(WorkItem& item, PeerId router, const proto::FrameHeader& header,
                      TimePoint deadline) {
  item.router = router;
  item.header = header;
  item.deadline = deadline;
  owed_[{router, item.work_id, header.attempt}] = {item.range.rows,
                                                   static_cast<proto::Lane>(header.lane)};
  item.asked = header.attempt + 1;
}

void WorkLedger::unbook(WorkItem& item, TimePoint deadline) {
  item.router = 0;
  item.deadline = deadline;
}

void WorkLedger::cut(std::uint64_t work_id, std::int64_t rows_max) {
  const WorkItem whole = items_.extract(work_id).mapped();
  for (std::int64_t done = 0; done < whole.range.rows; done += rows_max) {
    auto& piece = items_[next_id_] = whole;
    piece.work_id = next_id_;
    next_id_ += step_;
    piece.range = {whole.range.first_row + done, std::min(rows_max, whole.range.rows - done)};
  }
}

WorkItem* WorkLedger::match(PeerId peer, const proto::FrameHeader& reply) {
  auto* item = find(reply.work_id);
  if (item == nullptr || item->router != peer || !proto::answers(item->header, reply))
    return nullptr;
  return item;
}

std::optional<WorkLedger::Owed> WorkLedger::settle(PeerId peer, const proto::FrameHeader& reply) {
  const auto found = owed_.find({peer, reply.work_id, reply.attempt});
  if (found == owed_.end()) return std::nullopt;
  const auto owed = found->second;
  owed_.erase(found);
  return owed;
}

void WorkLedger::forget(PeerId peer) {
  std::erase_if(owed_, [peer](const auto& entry) { return std::get<0>(entry.first) == peer; });
}

std::vector<std::uint64_t> WorkLedger::at(PeerId router) const {
  std::vector<std::uint64_t> ids;
  for (const auto& [id, item] : items_)
    if (item.router == router) ids.push_back(id);
  return ids;
}

const WorkItem* WorkLedger::goes_alone() const {
  const auto found = std::find_if(items_.begin(), items_.end(), [](const auto& entry) {
    return entry.second.alone && entry.second.router != 0;
  });
  return found == items_.end() ? nullptr : &found->second;
}

std::vector<std::uint64_t> WorkLedger::expired(TimePoint now) const {
  std::vector<std::uint64_t> ids;
  for (const auto& [id, item] : items_)
    if (item.deadline <= now) ids.push_back(id);
  return ids;
}

std::optional<TimePoint> WorkLedger::next_deadline() const {
  std::optional<TimePoint> next;
  for (const auto& [id, item] : items_)
    if (!next || item.deadline < *next) next = item.deadline;
  return next;
}

}  // namespace troupe::actors
