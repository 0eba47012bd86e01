// Idempotency keys of requests under way: whoever asks again too early does not pay twice.
#pragma once
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "services/gateway/api_error.hpp"

namespace troupe::services {

/// What a client gave with one request.
struct GivenIdempotencyKey {
  std::string header;               // what the API calls it, for errors
  std::vector<std::string> values;  // of the headers of this name; none: there is no key
};

/// Of one gateway, and of the requests under way alone: answers are not kept. *Threading*: any.
/// *Source*: draft-ietf-httpapi-idempotency-key-header, 2.7; we take any visible characters.
class IdempotencyKeys {
  using Key = std::pair<std::string, std::string>;  // owner, and what they gave
  struct Release {
    Key key;
    void operator()(IdempotencyKeys* keys) const { keys->release(key); }
  };

 public:
  /// A key that nobody else may use, until it goes; null: there is none. Must not outlive the
  /// IdempotencyKeys.
  using Hold = std::unique_ptr<IdempotencyKeys, Release>;

  /// `owner`: keys of different owners are different. *Errors*: INVALID_FIELD for two keys and for
  /// one that is not 1 to 256 visible ASCII characters; OPERATION_IN_PROGRESS while it is held.
  Answered<Hold> hold(const std::string& owner, const GivenIdempotencyKey& given);

 private:
  void release(const Key& key);

  std::mutex mutex_;
  std::set<Key> held_;
};

}  // namespace troupe::services
