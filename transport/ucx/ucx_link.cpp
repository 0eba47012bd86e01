// UCX 1.13 behind Link. Rules that the library does not enforce are written where they are kept.
#include "transport/ucx/ucx_link.hpp"

#include <ucp/api/ucp.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <new>
#include <optional>
#include <set>
#include <unordered_set>
#include <utility>

#include "core/check.hpp"
#include "transport/descriptors.hpp"
#include "transport/ucx/ucx_error.hpp"

namespace troupe::transport {
namespace {

// A healthy peer answers a flush in well under a millisecond.
constexpr std::chrono::milliseconds kFlush{100};
// After a forced close completions come within 8 ms or never; the loop stands still meanwhile.
constexpr std::chrono::milliseconds kForce{20};

class UcxLinkImpl final : public UcxLink {
 public:
  explicit UcxLinkImpl(UcxContext& context) : context_(context) {}
  ~UcxLinkImpl() override { close(CloseMode::flush); }
  Expected<void> start();

  const std::string& address() const override { return address_; }
  Expected<void> open(std::string_view address) override;
  std::string lanes() const override;
  Expected<void> send(OutgoingFrame&& frame, SendDone done) override;
  bool progress(const FrameSink& sink) override;
  bool arm() override;
  int event_fd() const override { return event_fd_; }
  LinkHealth health() const override { return health_; }
  void close(CloseMode mode) override;
  std::size_t frames_in_flight() const override { return sends_.size(); }
  LinkStats stats() const override { return stats_; }
  void count_stale() override { ++stats_.stale_total; }

 private:
  /// Lives from `send` to its completion: UCX 1.13 copies neither the header nor the iov list.
  struct Outgoing {
    UcxLinkImpl* link;
    OutgoingFrame frame;
    std::vector<ucp_dt_iov_t> parts;
    std::size_t bytes;
    SendDone done;
  };
  /// A rendezvous frame whose bytes are on their way.
  struct Incoming {
    UcxLinkImpl* link;
    Buffer bytes;
  };
  /// A place in the order of arrival. Frames are delivered in the order they were sent in: UCX
  /// calls back in that order, but later small frames are whole before a rendezvous is.
  struct Arrived {
    Buffer bytes = {};                // empty: there was no memory for them
    Incoming* pending = nullptr;      // null: the bytes are there
    proto::FrameHeader refused = {};  // where they are not
  };
  struct Completion {
    SendDone done;
    Errc outcome;
  };

  // What these throw must not pass through UCX: it ends the process, with the exit code of memory
  // where that ended. Other callers of UCX find their links as they were.
  static ucs_status_t on_frame(void* self, const void* header, size_t header_bytes, void* data,
                               size_t bytes, const ucp_am_recv_param_t* param) noexcept;
  static void on_received(void* request, ucs_status_t status, size_t, void* incoming) noexcept;
  static void on_sent(void* request, ucs_status_t status, void* outgoing) noexcept;
  static void on_error(void* self, ucp_ep_h, ucs_status_t status) noexcept;

  Expected<std::size_t> admit(const OutgoingFrame& frame);
  ucs_status_t receive(Buffer bytes, void* descriptor);
  void finish_receive(Incoming* in, ucs_status_t status);
  void finish_send(Outgoing* out, Errc outcome);
  void deliver(Arrived arrived, const FrameSink& sink);
  void lose(Error why);
  /// A peer that broke the format is there and can be told so.
  bool reaches_peer() const {
    return health_.state == LinkState::open ||
           (health_.state == LinkState::lost && health_.error.code == Errc::malformed);
  }
  bool ready() const { return !arrived_.empty() && arrived_.front().pending == nullptr; }
  void report_completions();
  template <class Until>
  void progress_until(Until until, std::chrono::milliseconds bound);
  void finish_request(void* request, std::chrono::milliseconds bound);

  UcxContext& context_;
  ucp_worker_h worker_ = nullptr;
  ucp_ep_h endpoint_ = nullptr;
  int event_fd_ = -1;
  std::string address_;
  std::deque<Arrived> arrived_;          // not yet decoded
  std::deque<Completion> completions_;   // told outside of UCX's callbacks
  std::unordered_set<Outgoing*> sends_;  // lent to UCX; what it keeps, `close` settles
  std::unordered_set<Incoming*> receives_;
  std::size_t bytes_in_flight_ = 0;
  LinkHealth health_;
  LinkStats stats_;
  std::optional<Error> failure_;  // recorded in a callback, acted upon in `progress`
  bool in_pass_ = false;
  bool armed_ = false;  // since then nobody has made progress
};

Expected<void> UcxLinkImpl::start() {
  ucp_worker_params_t params{};
  params.field_mask = UCP_WORKER_PARAM_FIELD_THREAD_MODE;
  params.thread_mode = UCS_THREAD_MODE_SERIALIZED;
  auto status = ucp_worker_create(context_.handle(), &params, &worker_);
  if (status != UCS_OK) return unexpected(ucx_error("UCX cannot make a worker", status));
  ucp_am_handler_param_t handler{};
  handler.field_mask = UCP_AM_HANDLER_PARAM_FIELD_ID | UCP_AM_HANDLER_PARAM_FIELD_CB |
                       UCP_AM_HANDLER_PARAM_FIELD_ARG | UCP_AM_HANDLER_PARAM_FIELD_FLAGS;
  handler.id = kFrameId;
  handler.flags = UCP_AM_FLAG_WHOLE_MSG;
  handler.cb = &UcxLinkImpl::on_frame;
  handler.arg = this;
  status = ucp_worker_set_am_recv_handler(worker_, &handler);
  if (status != UCS_OK) return unexpected(ucx_error("UCX cannot receive active messages", status));
  ucp_address_t* address = nullptr;
  std::size_t bytes = 0;
  status = ucp_worker_get_address(worker_, &address, &bytes);
  if (status != UCS_OK) return unexpected(ucx_error("UCX tells no worker address", status));
  address_.assign(reinterpret_cast<const char*>(address), bytes);
  ucp_worker_release_address(worker_, address);
  status = ucp_worker_get_efd(worker_, &event_fd_);
  if (status != UCS_OK) return unexpected(ucx_error("UCX has no event descriptor", status));
  return {};
}

Expected<void> UcxLinkImpl::open(std::string_view address) {
  TROUPE_CHECK(endpoint_ == nullptr, "a link is opened once");
  // An address starts with its length fields; UCX reads before it checks, so tiny ones stop here.
  if (address.size() < 8)
    return unexpected(Errc::invalid_argument, "the peer sent no UCX worker address");
  ucp_ep_params_t params{};
  params.field_mask = UCP_EP_PARAM_FIELD_REMOTE_ADDRESS | UCP_EP_PARAM_FIELD_ERR_HANDLING_MODE |
                      UCP_EP_PARAM_FIELD_ERR_HANDLER;
  params.address = reinterpret_cast<const ucp_address_t*>(address.data());
  // Both ends must say so, or a forced close is undefined.
  params.err_mode = UCP_ERR_HANDLING_MODE_PEER;
  params.err_handler.cb = &UcxLinkImpl::on_error;
  params.err_handler.arg = this;
  const auto status = ucp_ep_create(worker_, &params, &endpoint_);
  if (status == UCS_OK) return {};
  endpoint_ = nullptr;
  Error why = ucx_error("UCX reaches no peer at the address it was given", status);
  if (status == UCS_ERR_SHMEM_SEGMENT) why.code = Errc::io;  // memory of another user, say
  return unexpected(with_descriptors(std::move(why)));
}

std::string UcxLinkImpl::lanes() const {
  if (endpoint_ == nullptr) return {};
  // UCX 1.13 tells the chosen transports only in this printed form:
  //   # lane[0]:  2:posix/memory.0 md[1] -> ... am am_bw#0
  char* text = nullptr;
  std::size_t bytes = 0;
  std::FILE* memory = open_memstream(&text, &bytes);
  if (memory == nullptr) return {};
  ucp_ep_print_info(endpoint_, memory);
  std::fclose(memory);
  const std::string_view info(text, bytes);
  std::set<std::string> names;
  for (std::size_t at = info.find("lane["); at != info.npos; at = info.find("lane[", at + 1)) {
    const auto colon = info.find(':', info.find("]:", at) + 2);
    const auto slash = info.find('/', colon);
    if (colon == info.npos || slash == info.npos) break;
    names.emplace(info.substr(colon + 1, slash - colon - 1));
  }
  std::free(text);
  std::string joined;
  for (const auto& name : names) joined += (joined.empty() ? "" : " ") + name;
  return joined;
}

Expected<std::size_t> UcxLinkImpl::admit(const OutgoingFrame& frame) {
  if (!reaches_peer() || endpoint_ == nullptr)
    return unexpected(Errc::unavailable, health_.state == LinkState::open
                                             ? "the link has no peer yet"
                                             : health_.error.detail);
  std::size_t bytes = frame.head.size();
  for (const auto& row : frame.rows) bytes += row.size();
  proto::FrameHeader header;
  if (frame.head.size() < sizeof header)
    return unexpected(Errc::invalid_argument, "a frame's first buffer must hold its whole header");
  std::memcpy(&header, frame.head.data(), sizeof header);
  if (header.total_bytes != bytes)
    return unexpected(Errc::invalid_argument, "a frame of " + std::to_string(bytes) +
                                                  " bytes says that it has " +
                                                  std::to_string(header.total_bytes));
  const UcxSettings& limits = context_.settings();
  if (sends_.size() >= limits.frames_in_flight_max ||
      (!sends_.empty() && bytes_in_flight_ + bytes > limits.bytes_in_flight_max)) {
    ++stats_.refused_total;
    return unexpected(Errc::overloaded,
                      "too many frames are under way to the peer; retry after progress");
  }
  return bytes;
}

Expected<void> UcxLinkImpl::send(OutgoingFrame&& frame, SendDone done) {
  const auto bytes = admit(frame);
  if (!bytes) return unexpected(bytes.error());
  auto* out = new Outgoing{this, std::move(frame), {}, *bytes, std::move(done)};
  const std::size_t rest = out->frame.head.size() - proto::kHeaderBytes;
  if (rest > 0) out->parts.push_back({out->frame.head.data() + proto::kHeaderBytes, rest});
  for (const auto& row : out->frame.rows)
    if (!row.empty()) out->parts.push_back({const_cast<std::byte*>(row.data()), row.size()});

  ucp_request_param_t param{};
  param.op_attr_mask =
      UCP_OP_ATTR_FIELD_CALLBACK | UCP_OP_ATTR_FIELD_USER_DATA | UCP_OP_ATTR_FIELD_DATATYPE;
  param.cb.send = &UcxLinkImpl::on_sent;
  param.user_data = out;
  // One part goes as contiguous data: only that form is zero-copy and rendezvous everywhere.
  const bool gather = out->parts.size() > 1;
  param.datatype = gather ? ucp_dt_make_iov() : ucp_dt_make_contig(1);
  const void* data = gather               ? static_cast<const void*>(out->parts.data())
                     : out->parts.empty() ? nullptr
                                          : out->parts[0].buffer;
  const std::size_t count = gather ? out->parts.size() : *bytes - proto::kHeaderBytes;
  sends_.insert(out);  // before the call: towards a dead peer the callback may run inside it
  bytes_in_flight_ += *bytes;
  ++stats_.frames_sent_total;
  stats_.bytes_sent_total += *bytes;
  auto* request = ucp_am_send_nbx(endpoint_, kFrameId, out->frame.head.data(), proto::kHeaderBytes,
                                  data, count, &param);
  if (UCS_PTR_IS_PTR(request)) return {};
  if (UCS_PTR_IS_ERR(request)) {
    // Taken and failed at once: the outcome is told like any other.
    failure_ = ucx_error("UCX lost the peer while sending", UCS_PTR_STATUS(request));
    finish_send(out, Errc::unavailable);
    return {};
  }
  finish_send(out, Errc::ok);  // done already; UCX will not call back
  return {};
}

void UcxLinkImpl::finish_send(Outgoing* out, Errc outcome) {
  sends_.erase(out);
  bytes_in_flight_ -= out->bytes;
  if (out->done) completions_.push_back({std::move(out->done), outcome});
  delete out;
}

void UcxLinkImpl::on_sent(void* request, ucs_status_t status, void* outgoing) noexcept {
  auto* out = static_cast<Outgoing*>(outgoing);
  const Errc outcome = status == UCS_OK             ? Errc::ok
                       : status == UCS_ERR_CANCELED ? Errc::cancelled
                                                    : Errc::unavailable;
  out->link->finish_send(out, outcome);
  ucp_request_free(request);
}

ucs_status_t UcxLinkImpl::on_frame(void* self, const void* header_bytes, size_t header_length,
                                   void* data, size_t bytes,
                                   const ucp_am_recv_param_t* param) noexcept {
  auto& link = *static_cast<UcxLinkImpl*>(self);
  proto::FrameHeader header;
  const std::span<const std::byte> first(static_cast<const std::byte*>(header_bytes),
                                         header_length);
  // Checked before anything is allocated. A rendezvous frame that is not fetched releases its
  // sender.
  if (auto fault = proto::check_header(first, header_length + bytes, header)) {
    ++link.stats_.malformed_total;
    link.failure_ = Error{Errc::malformed, fault->text};
    return UCS_OK;
  }
  Buffer whole;
  try {
    const std::size_t all = header_length + bytes;
    whole = link.context_.pool().take(all, BufferPool::left_by_frame(all));
  } catch (const std::bad_alloc&) {
    link.arrived_.push_back({.refused = header});
    return UCS_OK;
  }
  std::memcpy(whole.data(), header_bytes, header_length);
  if ((param->recv_attr & UCP_AM_RECV_ATTR_FLAG_RNDV) != 0)
    return link.receive(std::move(whole), data);
  if (bytes > 0) std::memcpy(whole.data() + header_length, data, bytes);
  link.arrived_.push_back({.bytes = std::move(whole)});
  return UCS_OK;
}

ucs_status_t UcxLinkImpl::receive(Buffer bytes, void* descriptor) {
  // Booked before the call: towards a dead peer UCX runs the callback inside it and still returns a
  // request, so nothing of `in` may be touched after a pointer came back.
  auto* in = new Incoming{this, std::move(bytes)};
  receives_.insert(in);
  arrived_.push_back({.pending = in});
  ucp_request_param_t param{};
  param.op_attr_mask = UCP_OP_ATTR_FIELD_CALLBACK | UCP_OP_ATTR_FIELD_USER_DATA;
  param.cb.recv_am = &UcxLinkImpl::on_received;
  param.user_data = in;
  auto* request = ucp_am_recv_data_nbx(worker_, descriptor, in->bytes.data() + proto::kHeaderBytes,
                                       in->bytes.size() - proto::kHeaderBytes, &param);
  if (UCS_PTR_IS_PTR(request)) return UCS_OK;
  finish_receive(in, UCS_PTR_STATUS(request));
  return UCS_OK;  // a started receive keeps the descriptor, whatever is returned
}

void UcxLinkImpl::finish_receive(Incoming* in, ucs_status_t status) {
  receives_.erase(in);
  const std::unique_ptr<Incoming> owner(in);
  const auto place = std::find_if(arrived_.begin(), arrived_.end(),
                                  [in](const Arrived& arrived) { return arrived.pending == in; });
  if (place == arrived_.end()) return;  // the link is being closed
  if (status == UCS_OK) {
    *place = {.bytes = std::move(in->bytes)};
    return;
  }
  arrived_.erase(place);
  if (!failure_) failure_ = ucx_error("UCX could not fetch a frame of the peer", status);
}

void UcxLinkImpl::on_received(void* request, ucs_status_t status, size_t, void* incoming) noexcept {
  auto* in = static_cast<Incoming*>(incoming);
  in->link->finish_receive(in, status);
  ucp_request_free(request);
}

void UcxLinkImpl::on_error(void* self, ucp_ep_h, ucs_status_t status) noexcept {
  // Only recorded: an endpoint must not be closed inside a callback.
  static_cast<UcxLinkImpl*>(self)->failure_ = ucx_error("UCX lost the peer", status);
}

void UcxLinkImpl::lose(Error why) {
  if (health_.state == LinkState::open) health_ = {LinkState::lost, std::move(why)};
}

void UcxLinkImpl::report_completions() {
  // Only those that are there now: a `done` may send again.
  for (std::size_t open = completions_.size(); open > 0; --open) {
    const Completion completion = std::move(completions_.front());
    completions_.pop_front();
    completion.done(completion.outcome);
  }
}

void UcxLinkImpl::deliver(Arrived arrived, const FrameSink& sink) {
  if (arrived.bytes.empty()) return sink(without_memory(arrived.refused));
  Buffer& bytes = arrived.bytes;
  auto decoded = proto::decode(std::as_const(bytes).span());
  if (!decoded) {
    ++stats_.malformed_total;
    arrived_.clear();
    return lose({Errc::malformed, decoded.malformed().text});
  }
  ++stats_.frames_received_total;
  stats_.bytes_received_total += bytes.size();
  proto::Frame& frame = decoded.frame();
  sink({std::move(bytes), frame.header, std::move(frame.body)});
}

bool UcxLinkImpl::progress(const FrameSink& sink) {
  TROUPE_CHECK(!in_pass_, "progress of a link inside its own progress");
  if (health_.state != LinkState::open) return false;
  in_pass_ = true;
  const bool slept = std::exchange(armed_, false);
  bool busy = ucp_worker_progress(worker_) != 0;
  // What wakes an idle link without a frame is a keepalive: no reason to stay awake.
  if (slept && sends_.empty() && arrived_.empty()) busy = false;
  busy |= !completions_.empty();
  report_completions();
  for (std::size_t i = 0; i < kFramesPerPass && ready(); ++i) {
    busy = true;
    Arrived first = std::move(arrived_.front());
    arrived_.pop_front();
    deliver(std::move(first), sink);
  }
  if (failure_ && !ready()) {
    lose(*std::exchange(failure_, std::nullopt));
    busy = true;
  }
  in_pass_ = false;
  return busy;
}

bool UcxLinkImpl::arm() {
  if (health_.state != LinkState::open) return true;
  if (ready() || !completions_.empty() || failure_) return false;
  context_.reap();
  armed_ = ucp_worker_arm(worker_) == UCS_OK;
  return armed_;
}

template <class Until>
void UcxLinkImpl::progress_until(Until until, std::chrono::milliseconds bound) {
  const auto deadline = std::chrono::steady_clock::now() + bound;
  while (!until() && std::chrono::steady_clock::now() < deadline) ucp_worker_progress(worker_);
}

void UcxLinkImpl::finish_request(void* request, std::chrono::milliseconds bound) {
  if (!UCS_PTR_IS_PTR(request)) return;
  progress_until([=] { return ucp_request_check_status(request) != UCS_INPROGRESS; }, bound);
  ucp_request_free(request);
}

void UcxLinkImpl::close(CloseMode mode) {
  TROUPE_CHECK(!in_pass_, "a link was closed from its own progress");
  if (health_.state == LinkState::closed) return;
  const bool was_open = reaches_peer() && !failure_;
  // A peer that was lost will not open our address any more, one that never came may.
  const bool shared_memory =
      endpoint_ == nullptr || (was_open && lanes().find("posix") != std::string::npos);
  // First, so that a `done` that sends again is refused.
  health_ = {LinkState::closed, {Errc::cancelled, "the link was closed here"}};
  if (worker_ == nullptr) return;
  ucp_request_param_t param{};
  // Without a flush frames sent just now (a farewell, say) may never leave.
  if (endpoint_ != nullptr && was_open && mode == CloseMode::flush)
    finish_request(ucp_ep_flush_nbx(endpoint_, &param), kFlush);
  param.op_attr_mask = UCP_OP_ATTR_FIELD_FLAGS;
  param.flags = UCP_EP_CLOSE_FLAG_FORCE;  // not forced, closing waits for a peer that may be gone
  if (endpoint_ != nullptr)
    finish_request(ucp_ep_close_nbx(std::exchange(endpoint_, nullptr), &param), kForce);
  // A closed endpoint still owes completions. Some of rendezvous sends over shared memory never
  // come (UCX 1.13 with a dead peer): they are told below, when the worker is gone and nothing
  // reads the rows any more.
  progress_until([this] { return sends_.empty() && receives_.empty(); }, kForce);
  arrived_.clear();
  // Requests in limbo must not be called back later: their worker goes now.
  context_.retire(std::exchange(worker_, nullptr),
                  shared_memory && sends_.empty() && receives_.empty());
  for (auto* in : std::exchange(receives_, {})) delete in;
  while (!sends_.empty())
    finish_send(*sends_.begin(), was_open ? Errc::cancelled : Errc::unavailable);
  report_completions();
}

}  // namespace

Expected<std::unique_ptr<UcxLink>> UcxLink::make(UcxContext& context) {
  // Where descriptors run out inside it, UCX 1.13 leaks or even ends the process: it is not asked.
  if (descriptors_short()) context.drop_retired();
  if (descriptors_short())
    return unexpected(with_descriptors({Errc::resource_exhausted, "no room for another UCX link"}));
  auto link = std::make_unique<UcxLinkImpl>(context);
  auto started = link->start();
  if (!started && context.drop_retired()) {
    // What they held may be what was lacking.
    link = std::make_unique<UcxLinkImpl>(context);
    started = link->start();
  }
  if (!started) return unexpected(with_descriptors(started.error()));
  return std::unique_ptr<UcxLink>(std::move(link));
}

}  // namespace troupe::transport
