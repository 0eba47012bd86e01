// Queueing, computing and answering of expert rows.
#include "actors/expert/expert_role.hpp"

#include <algorithm>
#include <string>

#include "actors/row_codec.hpp"
#include "proto/identity.hpp"

namespace troupe::actors {

/// One ExpertRows frame on its way through the shard.
struct ExpertRole::Batch {
  PeerId router = 0;
  std::shared_ptr<std::int64_t> under_way;  // of that router's connection
  transport::ReceivedFrame frame;
  std::vector<proto::ReplyPair> pairs;     // all, with their status
  std::vector<model::RowExpert> held;      // those with status ok, in the same order
  std::shared_ptr<transport::Buffer> out;  // [held, H] in the row dtype
  TimePoint arrived;
  Clock::duration computing{};
  Expected<void> fits{};

  const proto::ExpertRows& body() const { return std::get<proto::ExpertRows>(frame.body); }
};

ExpertRole::ExpertRole(const RoleContext& context, ExpertSettings settings,
                       std::shared_ptr<const model::ExpertModel> model)
    : Role(context), settings_(settings), model_(std::move(model)) {
  const auto& config = model_->config();
  counts_.tokens.assign(
      static_cast<std::size_t>(config.num_layers) * static_cast<std::size_t>(config.routed_experts),
      0);
}

void ExpertRole::note_placement(std::uint64_t term, std::uint64_t epoch) {
  if (std::pair(term, epoch) <= std::pair(newest_term_, newest_epoch_)) return;
  newest_term_ = term;
  newest_epoch_ = epoch;
}

std::optional<Error> ExpertRole::find_fault(const transport::ReceivedFrame& frame) const {
  const auto& config = model_->config();
  const auto& body = std::get<proto::ExpertRows>(frame.body);
  const auto layer = frame.header.layer;
  if (layer < 0 || layer >= config.num_layers || !config.is_moe(layer))
    return Error{Errc::invalid_argument, "layer " + std::to_string(layer) + " has no experts"};
  const auto plain = wire_dtype(settings_.numerics.row_dtype());
  const bool quantised = body.rows.dtype == proto::WireDtype::e4m3_block128;
  const bool dtype_fits = body.rows.dtype == plain || (quantised && model_->wants_quantised_rows());
  if (body.rows.width != static_cast<std::uint32_t>(config.hidden_size) || !dtype_fits)
    return Error{Errc::malformed, "rows of another width or dtype than this shard computes"};
  for (const auto pair : body.pairs)
    if (pair.row >= body.rows.rows || pair.expert >= static_cast<unsigned>(config.routed_experts))
      return Error{Errc::malformed, "a pair names row " + std::to_string(pair.row) + " or expert " +
                                        std::to_string(pair.expert) + " past the end"};
  return std::nullopt;
}

void ExpertRole::on_frame(PeerId peer, transport::ReceivedFrame&& frame) {
  if (frame.header.kind != static_cast<std::uint16_t>(proto::FrameKind::expert_rows))
    return peers_.count_stale(peer);
  if (const auto fault = find_fault(frame)) return send_failed(peer, frame.header, *fault);
  const auto rows = std::get<proto::ExpertRows>(frame.body).rows.rows;
  // The credits granted to each router bound the queue already: Overloaded is no flow control.
  const auto grant = peers_.grant();
  auto under_way = under_way_.at(peer);
  const bool crowded =
      counts_.queued_rows > 0 && counts_.queued_rows + rows > settings_.queued_rows_max;
  if (crowded || *under_way + rows > std::int64_t{grant.decode_rows} + grant.prefill_rows)
    return answer_overloaded(peer, frame);
  *under_way += rows;
  auto batch = std::make_shared<Batch>();
  batch->router = peer;
  batch->under_way = std::move(under_way);
  batch->arrived = now();
  batch->frame = std::move(frame);
  split_pairs(*batch);
  counts_.queued_rows += rows;
  queue_[batch->frame.header.lane].push_back(std::move(batch));
}

void ExpertRole::split_pairs(Batch& batch) const {
  const auto layer = batch.frame.header.layer;
  for (const auto pair : batch.body().pairs) {
    const bool held = model_->holds(layer, pair.expert);
    const auto status = held ? proto::PairStatus::ok : proto::PairStatus::not_resident;
    batch.pairs.push_back({pair.row, pair.expert, static_cast<std::uint16_t>(status), 0});
    if (held)
      batch.held.push_back(
          {static_cast<std::int32_t>(pair.row), static_cast<std::int32_t>(pair.expert)});
  }
}

void ExpertRole::on_lost(PeerId peer, const Error&) {
  under_way_.erase(peer);
  for (auto& lane : queue_)
    std::erase_if(lane, [&](const BatchPtr& batch) {
      if (batch->router != peer) return false;
      forget_rows(*batch);
      return true;
    });
}

void ExpertRole::forget_rows(const Batch& batch) {
  const auto rows = batch.body().rows.rows;
  counts_.queued_rows -= rows;
  *batch.under_way -= rows;
}

bool ExpertRole::work() {
  bool busy = false;
  for (auto& lane : queue_)
    while (!lane.empty() && jobs_open_ < settings_.jobs_open_max) {
      auto batch = std::move(lane.front());
      lane.pop_front();
      start(std::move(batch));
      busy = true;
    }
  return busy;
}

void ExpertRole::start(BatchPtr batch) {
  const auto& asked = batch->frame.header;
  if (asked.remaining_us > 0 &&
      now() - batch->arrived >= std::chrono::microseconds(asked.remaining_us)) {
    forget_rows(*batch);  // its router has given up on it
    return send_failed(batch->router, asked,
                       {Errc::deadline_exceeded, "queued past the budget of the work item"});
  }
  ++jobs_open_;
  const auto arrived = computing_.insert(batch->arrived);
  const auto& config = model_->config();
  const auto pairs = static_cast<std::int64_t>(batch->held.size());
  run(
      pairs * 3 * config.hidden_size * config.moe_intermediate_size,  // gate, up and down
      [this, batch] {
        batch->fits = model::within_memory("another batch of rows", [&] {
          memory_.run(bytes_of(*batch), [&] { compute(*batch); });
        });
      },
      [this, batch, arrived] {
        --jobs_open_;
        computing_.erase(arrived);
        forget_rows(*batch);
        if (!batch->fits)
          return send_failed(batch->router, batch->frame.header, batch->fits.error());
        count(*batch);
        answer(*batch);
      });
}

/// What `compute` takes for rows that come and go; the model's scratch, which stays, is of that
/// order.
std::size_t ExpertRole::bytes_of(const Batch& batch) {
  const auto& block = batch.body().rows;
  return (block.rows + 2 * batch.held.size()) * block.width * sizeof(float);
}

void ExpertRole::compute(Batch& batch) const {
  const auto began = Clock::now();
  const auto& block = batch.body().rows;
  const std::int64_t width = block.width;
  const std::size_t elements = std::size_t{block.rows} * block.width;
  std::vector<float> rows(elements);
  std::vector<float> scales;
  if (block.dtype == proto::WireDtype::e4m3_block128) {
    scales.resize(block.rows * static_cast<std::size_t>((width + 127) / 128));
    unpack_quantised(block, rows.data(), scales.data());
  } else {
    unpack_rows(*engine_.table, block, 0, block.rows, rows.data());
  }
  const auto held = static_cast<std::int64_t>(batch.held.size());
  std::vector<float> out(static_cast<std::size_t>(held * width));
  if (held > 0)
    model_->run(batch.frame.header.layer, {rows.data(), scales.empty() ? nullptr : scales.data(),
                                           block.rows, batch.held, out.data()});
  const auto dtype = wire_dtype(settings_.numerics.row_dtype());
  const auto bytes = static_cast<std::size_t>(held) *
                     proto::row_block_bytes(1, static_cast<std::uint32_t>(width), dtype);
  batch.out = std::make_shared<transport::Buffer>(wire_->buffers().take(bytes));
  pack_rows(*engine_.table, out.data(), held, width, dtype, batch.out->data());
  batch.computing = Clock::now() - began;
}

void ExpertRole::count(const Batch& batch) {
  const auto experts = static_cast<std::size_t>(model_->config().routed_experts);
  const auto layer = static_cast<std::size_t>(batch.frame.header.layer);
  for (const auto& pair : batch.held)
    ++counts_.tokens[layer * experts + static_cast<std::size_t>(pair.expert)];
  ++counts_.frames_total;
  counts_.busy_seconds_total += std::chrono::duration<double>(batch.computing).count();
  counts_.compute_seconds.observe(batch.computing);
  counts_.batch_tokens.observe(static_cast<double>(batch.held.size()));
  counts_.not_resident_total += static_cast<std::int64_t>(batch.pairs.size() - batch.held.size());
}

void ExpertRole::answer(const Batch& batch) {
  const auto& asked = batch.frame.header;
  const auto residence =
      std::chrono::duration_cast<std::chrono::microseconds>(now() - batch.arrived).count();
  const auto header = proto::reply_header(
      asked, peers_.header().sender_incarnation,
      proto::budget_after(asked.remaining_us, static_cast<std::uint64_t>(residence)));
  proto::ExpertReply body{batch.body().micro_batch, newest_term_, newest_epoch_, batch.pairs, {}};
  body.rows = {static_cast<std::uint32_t>(batch.held.size()), batch.body().rows.width,
               wire_dtype(settings_.numerics.row_dtype()), batch.out->span()};
  auto frame = transport::make_frame_head(peers_.buffers(), header, body);
  if (!batch.held.empty()) frame.rows.push_back(batch.out->span());
  peers_.send(batch.router, std::move(frame), [out = batch.out](Errc) {});
}

void ExpertRole::answer_overloaded(PeerId router, const transport::ReceivedFrame& frame) {
  ++counts_.overloaded_total;
  const auto& asked = std::get<proto::ExpertRows>(frame.body);
  std::vector<proto::ReplyPair> pairs;
  for (const auto pair : asked.pairs)
    pairs.push_back(
        {pair.row, pair.expert, static_cast<std::uint16_t>(proto::PairStatus::overloaded), 0});
  const auto header = proto::reply_header(frame.header, peers_.header().sender_incarnation,
                                          frame.header.remaining_us);
  proto::ExpertReply body{asked.micro_batch, newest_term_, newest_epoch_, pairs, {}};
  body.rows = {0, asked.rows.width, wire_dtype(settings_.numerics.row_dtype()), {}};
  peers_.send(router, transport::make_frame(peers_.buffers(), header, body));
}

void ExpertRole::send_failed(PeerId router, const proto::FrameHeader& asked, const Error& error) {
  const auto header = proto::reply_header(asked, peers_.header().sender_incarnation, 0);
  const proto::Failed failed{static_cast<std::uint16_t>(error.code), 0,
                             proto::clip_detail(error.detail)};
  peers_.send(router, transport::make_frame(peers_.buffers(), header, failed));
}

RoleLoad ExpertRole::load() const {
  RoleLoad load;
  if (!computing_.empty()) load.oldest_work = *computing_.begin();
  for (const auto& lane : queue_)
    if (!lane.empty() && (!load.oldest_work || lane.front()->arrived < *load.oldest_work))
      load.oldest_work = lane.front()->arrived;
  load.queued_rows = static_cast<std::uint64_t>(counts_.queued_rows);
  return load;
}

ExpertStatus ExpertRole::status() const {
  auto status = counts_;
  status.queued_frames = static_cast<std::int64_t>(jobs_open_);
  for (const auto& lane : queue_) status.queued_frames += static_cast<std::int64_t>(lane.size());
  return status;
}

}  // namespace troupe::actors
