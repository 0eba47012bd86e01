// Joins a node, a served model, the public ports and the operators'.
#include "services/gateway/gateway_front.hpp"

#include <atomic>

#include "model/activation_choice.hpp"
#include "model/checkpoint/files.hpp"
#include "services/gateway/call_log.hpp"
#include "services/gateway/gateway_metrics.hpp"
#include "services/gateway/gateway_settings.hpp"
#include "services/gateway/grpc/admin_server.hpp"
#include "services/gateway/grpc/grpc_log.hpp"
#include "services/gateway/served_model.hpp"
#include "services/prompt/open_model.hpp"

namespace troupe::services {
namespace {

/// Members in order of need: the servers end before what they use.
class GatewayFront final : public ServiceFront {
 public:
  GatewayFront(const FrontContext& context, ServedModel served)
      : node_(context.node),
        log_(context.log),
        calls_(context.log),
        metrics_(context.metrics, context.served_name),
        health_(context.health),
        on_stranger_(context.on_stranger),
        grpc_log_(context.log),
        served_(std::move(served)) {}

  Expected<void> open(const ServiceConfig& config);

  std::vector<std::pair<std::string, std::string>> addresses() const override {
    return {{"http", gateway_->http_url()},
            {"grpc", gateway_->address()},
            {"admin", admin_->address()}};
  }
  void drain() override { gateway_->drain(); }
  bool drained() const override { return gateway_->calls_open().total() == 0; }
  void collect(const actors::RoleStatuses& statuses) override {
    metrics_.take(statuses.gateway.value_or(actors::GatewayStatus{}),
                  gateway_->calls_open().counts());
  }

 private:
  void on_call_end(const CallRecord& call) {
    metrics_.record(call);
    calls_.tell(call);
  }
  void on_keys(const std::string& error);
  std::uint64_t placement_epoch();

  actors::ClusterNode& node_;
  Logger& log_;
  CallLog calls_;
  GatewayMetrics metrics_;
  HealthSources health_;
  StrangerSink on_stranger_;
  GrpcLog grpc_log_;
  ServedModel served_;
  std::chrono::steady_clock::time_point epoch_asked_{};
  std::uint64_t epoch_ = 0;
  std::unique_ptr<AdminServer> admin_;
  std::unique_ptr<GatewayServer> gateway_;
};

Expected<void> GatewayFront::open(const ServiceConfig& config) {
  GrpcSettings operators = grpc_settings(config, config.admin.listen);
  operators.on_stranger = on_stranger_;
  auto admin = AdminServer::start(operators, [this] { return node_.report(); });
  if (!admin) return model::at("admin.listen", admin.error());
  admin_ = *std::move(admin);
  GatewayServerSettings settings = gateway_server_settings(config);
  settings.http.api.health = health_;
  settings.http.api.cluster = {[this] { return node_.report(); }, [this] { return node_.loads(); }};
  auto gateway =
      GatewayServer::start(served_, node_, settings, [this] { return placement_epoch(); },
                           {[this](const CallRecord& call) { on_call_end(call); },
                            [this](const std::string& error) { on_keys(error); }, on_stranger_});
  if (!gateway) return unexpected(gateway.error());
  gateway_ = *std::move(gateway);
  return {};
}

/// Called four times a second; the node's actors are asked once.
std::uint64_t GatewayFront::placement_epoch() {
  const auto now = std::chrono::steady_clock::now();
  if (now - epoch_asked_ < std::chrono::seconds(1)) return epoch_;
  epoch_asked_ = now;
  return epoch_ = node_.status().epoch;
}

void GatewayFront::on_keys(const std::string& error) {
  if (error.empty()) return log_.info("api_keys_read", "the file of keys has changed");
  log_.error("api_keys_not_read", "the keys before stay in force: " + error);
}

/// A checkpoint with the tokenizer beside it; FrontContext has the first, the parts keep both.
using Opened = std::shared_ptr<std::shared_ptr<const OpenModel>>;

Expected<std::shared_ptr<const model::Checkpoint>> open(const Opened& opened,
                                                        const std::string& path) {
  auto model = open_model(path);
  if (!model) return unexpected(model.error());
  *opened = std::make_shared<const OpenModel>(*std::move(model));
  return std::shared_ptr<const model::Checkpoint>(*opened, &(*opened)->checkpoint);
}

Expected<std::unique_ptr<ServiceFront>> make_front(const Opened& opened,
                                                   const FrontContext& context) {
  ServedModel::Settings settings;
  settings.name = context.served_name;
  settings.mode = *model::decide_activation_mode(context.config.engine.mode,
                                                 (*opened)->config().quantisation.format);
  settings.numerics_id = context.node.numerics_id();
  settings.template_file = context.config.model.chat_template_file;
  settings.strict = context.config.gateway.strict_api;
  auto served = ServedModel::make(**opened, settings);
  if (!served) return unexpected(served.error());
  auto front = std::make_unique<GatewayFront>(context, *std::move(served));
  if (auto listening = front->open(context.config); !listening)
    return unexpected(listening.error());
  return std::unique_ptr<ServiceFront>(std::move(front));
}

}  // namespace

ServiceParts gateway_parts() {
  auto opened = std::make_shared<std::shared_ptr<const OpenModel>>();
  return {[opened](const std::string& path) { return open(opened, path); },
          [opened](const FrontContext& context) { return make_front(opened, context); }};
}

}  // namespace troupe::services
