// The configuration table, the YAML reader's messages, and which layer of settings wins.
#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <set>
#include <sstream>

#include "services/runtime/config/config_file.hpp"
#include "services/runtime/config/config_keys.hpp"
#include "services/runtime/config/config_load.hpp"
#include "services/runtime/config/config_print.hpp"
#include "tests/support/source_dir.hpp"
#include "tests/support/temp_dir.hpp"

namespace troupe::services {
namespace {

std::optional<ConfigProblem> parse(const std::string& text) {
  FileValues values;
  return parse_config_text("c.yaml", text, values);
}

/// The configuration that `text` makes, as --config would.
LoadedConfig load(const std::string& text) {
  const testing::TempDir folder;
  ConfigFlags flags;
  flags.file = (folder.path() / "c.yaml").string();
  std::ofstream(flags.file) << text;
  LoadedConfig loaded;
  const auto problem = load_config(flags, kAllRoles, loaded);
  EXPECT_FALSE(problem.has_value()) << problem->text;
  return loaded;
}

void expect_problem(const std::string& text, Fault fault, const std::vector<std::string>& says) {
  const auto problem = parse(text);
  ASSERT_TRUE(problem.has_value()) << text;
  EXPECT_EQ(problem->fault, fault) << problem->text;
  for (const std::string& part : says)
    EXPECT_NE(problem->text.find(part), std::string::npos) << part << " in: " << problem->text;
}

TEST(ConfigTable, EveryKeyHasItsOwnFlagAndVariable) {
  std::set<std::string> paths, flags, variables;
  for (const ConfigKey& key : config_keys()) {
    EXPECT_TRUE(paths.insert(key.path).second) << key.path;
    EXPECT_TRUE(flags.insert(key.flag()).second) << key.flag();
    EXPECT_TRUE(variables.insert(key.environment()).second) << key.environment();
    if (!key.short_flag.empty()) {
      EXPECT_TRUE(flags.insert(key.short_flag).second) << key.short_flag;
    }
    EXPECT_FALSE(key.help.empty() || key.help.ends_with(".")) << key.path;
    EXPECT_NE(key.roles, 0) << key.path;
  }
  EXPECT_EQ(find_config_key("expert.rank")->flag(), "--expert-rank");
  EXPECT_EQ(find_config_key("expert.rank")->environment(), "TROUPE_EXPERT_RANK");
}

TEST(ConfigTable, SectionsStayTogether) {
  std::set<std::string> ended;
  std::string section;
  for (const ConfigKey& key : config_keys()) {
    const std::string now = key.path.substr(0, key.path.find('.'));
    if (now == section) continue;
    EXPECT_TRUE(ended.insert(now).second) << now << " is in two places of the table";
    section = now;
  }
}

TEST(ConfigTable, DefaultsPrintAsAFileThatChangesNothing) {
  const LoadedConfig loaded = load(print_defaults());
  const ServiceConfig defaults;
  for (const ConfigKey& key : config_keys()) {
    EXPECT_EQ(key.show(loaded.config), key.show(defaults)) << key.path;
    EXPECT_TRUE(loaded.origins.at(key.path).starts_with("file ")) << key.path;
  }
}

TEST(ConfigTable, PageInDocsIsTheOneOfTheTable) {
  const std::string path = std::string(troupe::kSourceDir) + "/docs/config.md";
  if (std::getenv("TROUPE_WRITE_DOCS") != nullptr) std::ofstream(path) << config_page();
  std::ostringstream text;
  text << std::ifstream(path).rdbuf();
  EXPECT_EQ(text.str(), config_page())
      << "write it again: TROUPE_WRITE_DOCS=1 tests/unit/unit_services";
}

TEST(ConfigFile, ReadsSectionsListsAndComments) {
  const ServiceConfig config = load(
                                   "# a cluster\n"
                                   "cluster:\n"
                                   "  name: 'west: 1'\n"
                                   "  routers: [\"10.0.0.1:7400\", router-1:7401]\n"
                                   "  lost_after_ms: 4000\n"
                                   "expert: {rank: 2, ranks: 8}\n"
                                   "router.placement: colocated\n"
                                   "ops:\n"
                                   "drain:\n"
                                   "  timeout_s: 0\n")
                                   .config;
  EXPECT_EQ(config.cluster.name, "west: 1");
  ASSERT_EQ(config.cluster.routers.size(), 2u);
  EXPECT_EQ(config.cluster.routers[1], (Address{"router-1", 7401}));
  EXPECT_EQ(config.cluster.lost_after.count(), 4000);
  EXPECT_EQ(config.expert.rank, 2);
  EXPECT_EQ(config.router.placement, "colocated");
  EXPECT_EQ(config.drain.timeout.count(), 0);
}

TEST(ConfigFile, AcceptsAnEmptyFile) {
  EXPECT_FALSE(parse("").has_value());
  EXPECT_FALSE(parse("# nothing\n").has_value());
  EXPECT_FALSE(parse("---\n").has_value());
}

TEST(ConfigFile, NamesLineAndNearestKeyOfAnUnknownOne) {
  expect_problem("cluster:\n  name: x\nexpert:\n  rnak: 1\n", Fault::config_unknown_key,
                 {"c.yaml:4:", "\"expert.rnak\"", "Did you mean expert.rank?"});
  expect_problem("clutser:\n  name: x\n", Fault::config_unknown_key,
                 {"c.yaml:1:", "Did you mean cluster.name?"});
  expect_problem("expert:\n  rank:\n    of: 1\n", Fault::config_bad_value,
                 {"c.yaml:2:", "is a section"});
  const auto far = parse("zeppelin: 1\n");
  ASSERT_TRUE(far.has_value());
  EXPECT_EQ(far->text.find("Did you mean"), std::string::npos) << far->text;
}

TEST(ConfigFile, SaysWhatAKeyTakes) {
  expect_problem("expert:\n  ranks: many\n", Fault::config_bad_value,
                 {"c.yaml:2:", "\"expert.ranks\"", "a whole number from 1", "\"many\""});
  expect_problem("expert:\n  ranks: 0\n", Fault::config_bad_value, {"from 1"});
  expect_problem("expert:\n  rank:\n", Fault::config_bad_value, {"no value", "default"});
  expect_problem("expert:\n  rank: [1, 2]\n", Fault::config_bad_value, {"is a list"});
  expect_problem("transport:\n  lanes: rdma\n", Fault::config_bad_value, {"auto, shm, tcp"});
  expect_problem("ops:\n  listen: 9090\n", Fault::config_bad_value, {"HOST:PORT"});
  expect_problem("cluster:\n  routers:\n  - a:1\n  - b\n", Fault::config_bad_value,
                 {"HOST:PORT", "\"b\""});
  expect_problem("cluster:\n  routers:\n  - a:1\n  - {b: 2}\n", Fault::config_bad_value,
                 {"c.yaml:4:"});
  expect_problem("expert: 3\n", Fault::config_bad_value, {"is a section"});
}

TEST(ConfigFile, NamesBothLinesOfAKeyGivenTwice) {
  expect_problem("expert:\n  rank: 1\n  rank: 1\n", Fault::config_duplicate_key,
                 {"c.yaml:3:", "line 2"});
  expect_problem("expert:\n  rank: 1\nlog:\n  level: info\nexpert:\n  rank: 2\n",
                 Fault::config_duplicate_key, {"c.yaml:6:", "line 2"});
}

TEST(ConfigFile, NamesTheLineOfBrokenYaml) {
  expect_problem("expert:\n\trank: 1\n", Fault::config_unreadable, {"c.yaml:2:", "tab"});
  expect_problem("expert:\n  rank: 1\n bad\n", Fault::config_unreadable, {"c.yaml:", "not YAML"});
  expect_problem("a: [1, 2\n", Fault::config_unreadable, {"c.yaml:", "not YAML"});
  expect_problem("just words\n", Fault::config_unreadable, {"c.yaml:1:", "sections"});
  expect_problem("a: 1\n---\nb: 1\n", Fault::config_unreadable, {"second document"});
  expect_problem("? [a, b]\n: 1\n", Fault::config_unreadable, {"c.yaml:1:"});
  expect_problem(std::string(5000, '['), Fault::config_unreadable, {"not YAML"});
  expect_problem("a: *nothing\n", Fault::config_unreadable, {"not YAML"});
  expect_problem("log:\n  level: info\n}\n", Fault::config_unreadable, {"c.yaml:3:", "not YAML"});
  // yaml-cpp alone reads this for ever.
  expect_problem(",log:\n", Fault::config_unreadable, {"c.yaml:1:", "belongs to nothing"});
}

TEST(ConfigFile, SaysWhyAFileCannotBeRead) {
  const testing::TempDir folder;
  FileValues values;
  const auto missing = read_config_file((folder.path() / "none.yaml").string(), values);
  ASSERT_TRUE(missing.has_value());
  EXPECT_EQ(missing->fault, Fault::config_unreadable);
  EXPECT_NE(missing->text.find("No such file"), std::string::npos) << missing->text;
  const auto directory = read_config_file(folder.path().string(), values);
  ASSERT_TRUE(directory.has_value());
  EXPECT_NE(directory->text.find("directory"), std::string::npos) << directory->text;
  const std::string long_file = (folder.path() / "long.yaml").string();
  std::ofstream(long_file) << std::string(2 << 20, '#');
  EXPECT_TRUE(read_config_file(long_file, values).has_value());
}

TEST(ConfigLayers, FlagWinsOverVariableWinsOverFileWinsOverDefault) {
  const testing::TempDir folder;
  ConfigFlags flags;
  flags.file = (folder.path() / "c.yaml").string();
  std::ofstream(flags.file) << "expert:\n  rank: 1\n  ranks: 9\nlog:\n  level: error\n";
  flags.variables = {{"expert.rank", {"2", "variable TROUPE_EXPERT_RANK"}},
                     {"expert.ranks", {"8", "variable TROUPE_EXPERT_RANKS"}}};
  flags.flags = {{"expert.rank", {"3", "flag --expert-rank"}}};
  LoadedConfig loaded;
  ASSERT_FALSE(load_config(flags, kAllRoles, loaded).has_value());
  EXPECT_EQ(loaded.config.expert.rank, 3);
  EXPECT_EQ(loaded.config.expert.ranks, 8);
  EXPECT_EQ(loaded.config.log.level, "error");
  EXPECT_EQ(loaded.origins.at("expert.rank"), "flag --expert-rank");
  EXPECT_EQ(loaded.origins.at("expert.ranks"), "variable TROUPE_EXPERT_RANKS");
  EXPECT_EQ(loaded.origins.at("log.level"), "file " + flags.file + ":5");
  EXPECT_EQ(loaded.origins.at("log.format"), "default");
  EXPECT_NE(print_config(loaded).find("rank: 3"), std::string::npos);
  EXPECT_NE(print_config(loaded).find("# flag --expert-rank"), std::string::npos);
}

TEST(ConfigLayers, AKeyIsGivenByItsShortFlagToo) {
  const auto loaded_from = [](std::string_view brief, std::string_view own, bool by_variable) {
    ConfigFlags flags;
    OptionSet options;
    flags.declare(options, kAllRoles);
    for (const Option& option : options.all()) {  // in the order in which they are assigned
      const auto text = option.name == "--level"          ? brief
                        : option.name == "--engine-level" ? own
                                                          : "";
      const Assign& assign = by_variable ? option.assign_variable : option.assign;
      if (!text.empty()) {
        EXPECT_TRUE(assign(text).has_value());
      }
    }
    LoadedConfig loaded;
    EXPECT_FALSE(load_config(flags, kAllRoles, loaded).has_value());
    return loaded.config.engine.level + ", " + loaded.origins.at("engine.level");
  };
  EXPECT_EQ(loaded_from("avx2", "", false), "avx2, flag --level");
  EXPECT_EQ(loaded_from("avx2", "", true), "avx2, variable TROUPE_LEVEL");
  EXPECT_EQ(loaded_from("", "reference", true), "reference, variable TROUPE_ENGINE_LEVEL");
  EXPECT_EQ(loaded_from("avx2", "reference", false), "avx2, flag --level");
  EXPECT_EQ(loaded_from("avx2", "reference", true), "avx2, variable TROUPE_LEVEL");  // as of `up`
}

TEST(ConfigLayers, AListGivenTwiceByFlagHasAllElements) {
  ConfigFlags flags;
  OptionSet options;
  flags.declare(options, kAllRoles);
  const Option* routers = options.find("--cluster-routers");
  ASSERT_NE(routers, nullptr);
  ASSERT_TRUE(routers->assign("a:1,b:2").has_value());
  ASSERT_TRUE(routers->assign("c:3").has_value());
  LoadedConfig loaded;
  ASSERT_FALSE(load_config(flags, kAllRoles, loaded).has_value());
  EXPECT_EQ(loaded.config.cluster.routers.size(), 3u);
}

TEST(ConfigLayers, TakesEveryKeyAndShowsFirstWhatTheRoleUses) {
  ConfigFlags flags;
  OptionSet options;
  flags.declare(options, only(ServiceRole::expert));
  EXPECT_NE(options.find("--config"), nullptr);
  for (const ConfigKey& key : config_keys()) {
    const Option* option = options.find(key.flag());
    ASSERT_NE(option, nullptr) << key.path;
    if (option->shown == Shown::first_screen) {
      EXPECT_NE(key.roles & only(ServiceRole::expert), 0) << key.path;
    }
  }
  EXPECT_EQ(options.find("--expert-rank")->shown, Shown::first_screen);
  EXPECT_EQ(options.find("--gateway-grpc-listen")->shown, Shown::help_all);
}

TEST(ConfigCheck, SettingsThatDoNotFitNameBothKeys) {
  const auto says = [](auto change, Roles roles, const std::vector<std::string>& parts) {
    ServiceConfig config;
    change(config);
    const auto problem = check_config(config, roles);
    ASSERT_TRUE(problem.has_value()) << parts.front();
    EXPECT_EQ(problem->fault, Fault::config_conflict);
    for (const std::string& part : parts)
      EXPECT_NE(problem->text.find(part), std::string::npos) << part << " in " << problem->text;
  };
  EXPECT_FALSE(check_config({}, kAllRoles).has_value());
  says([](auto& c) { c.expert.rank = 1; }, kAllRoles, {"expert.rank", "expert.ranks"});
  says([](auto& c) { c.router.index = 1; }, kAllRoles, {"router.index", "cluster.routers"});
  says([](auto& c) { c.cluster.routers.clear(); }, kAllRoles, {"cluster.routers"});
  says([](auto& c) { c.cluster.routers = {{"a", 1}, {"a", 1}}; }, kAllRoles, {"twice"});
  says([](auto& c) { c.cluster.routers = {{"a", 0}}; }, kAllRoles, {"needs a port"});
  says([](auto& c) { c.cluster.beat_idle = c.cluster.lost_after; }, kAllRoles, {"lost_after_ms"});
  says([](auto& c) { c.engine.level = "mmx"; }, kAllRoles, {"engine.level", "reference"});
  says([](auto& c) { c.engine.chunk_tokens = c.engine.step_rows_max + 1; }, kAllRoles,
       {"engine.step_rows_max", "engine.chunk_tokens"});
  says([](auto& c) { c.transport.ucx_options = {"TLS"}; }, kAllRoles, {"NAME=VALUE"});
  says([](auto& c) { c.transport.ucx_options = {"UCX_TLS=tcp"}; }, kAllRoles, {"prefix"});
  says([](auto& c) { c.ops.listen = c.admin.listen; }, kAllRoles, {"ops.listen", "admin.listen"});
  says(
      [](auto& c) {
        c.router.placement = "colocated";
        c.attention.index = 1;
      },
      only(ServiceRole::attention), {"attention.index", "colocated"});
  ServiceConfig other;
  other.expert.rank = 5;
  EXPECT_FALSE(check_config(other, only(ServiceRole::gateway)).has_value());
}

TEST(Address, ReadsNamesAndBothKindsOfAddress) {
  EXPECT_EQ(*parse_address("host-1.local:7400"), (Address{"host-1.local", 7400}));
  EXPECT_EQ(*parse_address("[::1]:0"), (Address{"::1", 0}));
  EXPECT_EQ(parse_address("[::1]:0")->text(), "[::1]:0");
  for (const char* bad : {"", ":", "host", "host:", ":80", "::1:80", "h:65536", "h:-1", "a b:1",
                          "http://h:80", "h:80/", "u@h:80"}) {
    EXPECT_FALSE(parse_address(bad).has_value()) << bad;
  }
}

}  // namespace
}  // namespace troupe::services
