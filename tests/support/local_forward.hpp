// A forward pass without actors: the model functions called one after the other, for tests.
#pragma once
#include <algorithm>
#include <vector>

#include "model/attention_model.hpp"
#include "model/expert_model.hpp"
#include "model/linear_layer.hpp"
#include "model/placement.hpp"
#include "model/router_model.hpp"

namespace troupe::testing {

/// Everything of one model in one thread of control.
class LocalForward {
 public:
  LocalForward(const model::Checkpoint& checkpoint, model::Numerics numerics,
               const kernels::Engine& engine)
      : attention(*model::AttentionModel::load(checkpoint, numerics, engine)),
        router(*model::RouterModel::load(checkpoint, numerics, engine)),
        experts(*model::ExpertModel::load(checkpoint, numerics, engine,
                                          {0, checkpoint.config().routed_experts})),
        pool(attention.kv_shape(256)) {}

  /// Raw logits of every token [tokens, vocab], computed in chunks of at most `chunk` rows. The
  /// routing of every MoE layer is appended to `routings` in order of (chunk, layer).
  std::vector<float> logits(const std::vector<std::int32_t>& tokens, std::int64_t chunk) {
    std::vector<model::PageId> pages;
    for (auto i = model::KvPool::pages_for(static_cast<std::int64_t>(tokens.size())); i > 0; --i)
      pages.push_back(*pool.allocate());
    std::vector<float> out;
    for (std::size_t at = 0; at < tokens.size(); at += static_cast<std::size_t>(chunk)) {
      const auto end = std::min(tokens.size(), at + static_cast<std::size_t>(chunk));
      model::StepState state;
      state.batch.tokens.assign(tokens.begin() + static_cast<std::ptrdiff_t>(at),
                                tokens.begin() + static_cast<std::ptrdiff_t>(end));
      state.batch.slices = {{static_cast<std::int64_t>(at), state.batch.rows(), pages}};
      step(state);
      append_logits(state, out);
    }
    for (const auto page : pages) pool.release(page);
    return out;
  }

  /// Runs one step through all layers; state.batch says of which rows.
  void step(model::StepState& state) {
    attention.embed(state);
    for (int layer = 0; layer < attention.config().num_layers; ++layer) {
      attention.attention(layer, state, pool);
      if (!attention.config().is_moe(layer)) {
        attention.dense_ffn(layer, state);
        continue;
      }
      attention.shared_expert(layer, state);
      route(layer, state);
      attention.finish_moe(state);
    }
  }

  std::vector<model::Routing> routings;
  model::AttentionModel attention;
  model::RouterModel router;
  model::ExpertModel experts;
  model::KvPool pool;

 private:
  void route(int layer, model::StepState& state) {
    const std::int64_t hidden = attention.config().hidden_size;
    const std::int64_t k = attention.config().experts_per_token;
    auto routing = router.gate(layer, state.u.data(), state.batch.rows());
    std::vector<model::RowExpert> pairs;
    for (std::size_t i = 0; i < routing.experts.size(); ++i)
      pairs.push_back(
          {static_cast<std::int32_t>(i) / static_cast<std::int32_t>(k), routing.experts[i]});
    std::vector<float> replies(pairs.size() * static_cast<std::size_t>(hidden));
    experts.run(layer, {.rows = state.u.data(),
                        .row_scales = nullptr,
                        .unique = state.batch.rows(),
                        .pairs = pairs,
                        .out = replies.data()});
    for (std::int64_t row = 0; row < state.batch.rows(); ++row) {
      std::vector<const float*> of_row;
      for (std::int64_t i = 0; i < k; ++i)
        of_row.push_back(replies.data() + (row * k + i) * hidden);
      router.combine(of_row, {routing.weights.data() + row * k, static_cast<std::size_t>(k)},
                     state.combined.data() + row * hidden);
    }
    routings.push_back(std::move(routing));
  }

  void append_logits(const model::StepState& state, std::vector<float>& out) {
    std::vector<std::int64_t> rows(static_cast<std::size_t>(state.batch.rows()));
    for (std::size_t i = 0; i < rows.size(); ++i) rows[i] = static_cast<std::int64_t>(i);
    const std::size_t before = out.size();
    out.resize(before + rows.size() * static_cast<std::size_t>(attention.config().vocab_size));
    attention.logits(state, rows, out.data() + before);
  }
};

/// One sequence that grows token by token, greedily.
class LocalSequence {
 public:
  explicit LocalSequence(LocalForward& local) : local_(local) {}

  /// Appends `token` and returns the most likely one after it.
  std::int32_t next(std::int32_t token) {
    if (position_ % kernels::kPageTokens == 0) pages_.push_back(*local_.pool.allocate());
    state_.batch.tokens = {token};
    state_.batch.slices = {{position_++, 1, pages_}};
    local_.step(state_);
    local_.routings.clear();
    logits_.resize(static_cast<std::size_t>(local_.attention.config().vocab_size));
    const std::int64_t row = 0;
    local_.attention.logits(state_, {&row, 1}, logits_.data());
    return static_cast<std::int32_t>(std::max_element(logits_.begin(), logits_.end()) -
                                     logits_.begin());
  }

 private:
  LocalForward& local_;
  model::StepState state_;
  std::int64_t position_ = 0;
  std::vector<model::PageId> pages_;
  std::vector<float> logits_;
};

}  // namespace troupe::testing
