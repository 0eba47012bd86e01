// Walks what the parser would read, and keeps nothing of it.
#include "services/gateway/grpc/message_values.hpp"

#include <google/protobuf/io/coded_stream.h>
#include <grpcpp/support/proto_buffer_reader.h>

#include <algorithm>

namespace troupe::services {
namespace {

using MessageType = google::protobuf::Descriptor;
using google::protobuf::FieldDescriptor;
using google::protobuf::io::CodedInputStream;

constexpr int kDepthMax = 128;  // protobuf's parsers end at 100

/// The lowest three bits of a tag.
enum WireType : std::uint32_t { kVarint, kFixed64, kLength, kGroup, kGroupEnd, kFixed32 };

class Walk {
 public:
  explicit Walk(CodedInputStream& in) : in_(in) {}

  std::size_t values() const { return values_; }

  /// Those of a message, or of an unknown group where `type` is null. False: the parser gives up
  /// here, or has done so before.
  bool fields(const MessageType* type, int depth) {
    if (depth > kDepthMax) return false;
    while (const std::uint32_t tag = in_.ReadTag()) {
      if ((tag & 7) == kGroupEnd) return true;
      ++values_;
      const auto number = static_cast<int>(tag >> 3);
      if (!value(tag & 7, type == nullptr ? nullptr : type->FindFieldByNumber(number), depth))
        return false;
    }
    return true;
  }

 private:
  bool value(std::uint32_t wire_type, const FieldDescriptor* field, int depth) {
    std::uint64_t number = 0;
    switch (wire_type) {
      case kVarint: return in_.ReadVarint64(&number);
      case kFixed64: return in_.Skip(8);
      case kFixed32: return in_.Skip(4);
      case kGroup: return fields(nullptr, depth + 1);
      case kLength: return counted_bytes(field, depth);
      default: return false;
    }
  }
  bool counted_bytes(const FieldDescriptor* field, int depth) {
    int bytes = 0;
    if (!in_.ReadVarintSizeAsInt(&bytes)) return false;
    const bool message = field != nullptr && field->type() == FieldDescriptor::TYPE_MESSAGE;
    if (!message && (field == nullptr || !field->is_packable())) return in_.Skip(bytes);
    const auto outer = in_.PushLimit(bytes);
    const bool whole = message ? fields(field->message_type(), depth + 1) : packed_varints();
    in_.PopLimit(outer);
    return whole;
  }
  bool packed_varints() {
    const void* data = nullptr;
    int size = 0;
    while (in_.GetDirectBufferPointer(&data, &size)) {
      const auto* bytes = static_cast<const std::uint8_t*>(data);
      values_ += static_cast<std::size_t>(
          std::count_if(bytes, bytes + size, [](std::uint8_t byte) { return byte < 0x80; }));
      if (!in_.Skip(size)) return false;
    }
    return true;
  }

  CodedInputStream& in_;
  std::size_t values_ = 0;
};

}  // namespace

std::size_t count_values(const grpc::ByteBuffer& bytes, const google::protobuf::Descriptor& type) {
  grpc::ByteBuffer kept(bytes);  // shares the bytes; the reader below empties it
  grpc::ProtoBufferReader reader(&kept);
  if (!reader.status().ok()) return 0;
  CodedInputStream in(&reader);
  Walk walk(in);
  (void)walk.fields(&type, 0);
  return walk.values();
}

}  // namespace troupe::services
