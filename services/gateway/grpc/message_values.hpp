// How many values a message would become: known before any of them takes memory.
#pragma once
#include <google/protobuf/descriptor.h>
#include <grpcpp/support/byte_buffer.h>

#include <cstddef>

namespace troupe::services {

/// Fields, fields within them and packed numbers, of known numbers and others, as far as a parser
/// of `type` would come. Two bytes can be a message of a hundred bytes in memory.
std::size_t count_values(const grpc::ByteBuffer& bytes, const google::protobuf::Descriptor& type);

}  // namespace troupe::services
