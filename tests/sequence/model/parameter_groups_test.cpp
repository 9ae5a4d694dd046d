// Who learns how fast, and who decays.
#include "ritz/sequence/model/parameter_groups.h"

#include <gtest/gtest.h>
#include <torch/types.h>

#include <map>

#include "ritz/base/error.h"
#include "ritz/sequence/model/model.h"

namespace {

using namespace ritz::sequence;
using ritz::optim::AdamOptions;

struct Rates {
  double lr, decay;
  bool operator==(const Rates&) const = default;
};

/// Rate and decay of each parameter, by the last part of its name.
std::map<std::string, Rates> rates(const ritz::nn::Network& network,
                                   const ritz::optim::Adam& adam) {
  std::map<std::string, Rates> all;
  for (const auto& group : adam.param_groups()) {
    const auto& o =
        static_cast<const ritz::optim::GroupOptions<AdamOptions>&>(group.options()).values;
    EXPECT_TRUE(o.decoupled);
    for (const auto& member : group.params()) {
      for (const auto& [name, value] : network.parameters) {
        if (value.is_same(member))
          all[name.starts_with("block") ? name.substr(name.find('.') + 1) : name] = {
              o.lr, o.weight_decay};
      }
    }
  }
  return all;
}

TEST(ParameterGroups, EachRulePutsEachPartInItsPlace) {
  ModelOptions options;
  parse_model("s4:1x4x6", options);
  const auto network = make_network(std::make_shared<SequenceModel>(options));
  const Rates slow{1e-3, 0}, slow_decay{1e-3, 0.05}, rest{4e-3, 0.05};
  const std::map<std::string, std::array<Rates, 3>> rules{{"standard", {slow, rest, rest}},
                                                          {"BandCdecay", {slow_decay, rest, rest}},
                                                          {"BfastandCdecay", {rest, rest, rest}},
                                                          {"noBCdecay", {slow, slow, slow}}};
  for (const auto& [name, places] : rules) {
    for (const bool global : {false, true}) {
      const auto adam = make_adamw(network, {.rule = parse_group_rule(name),
                                             .lr = 4e-3,
                                             .ssm_lr = 1e-3,
                                             .weight_decay = 0.05,
                                             .dt_global = global});
      auto found = rates(network, *adam);
      EXPECT_EQ(found.size(), network.parameters.size());
      for (const char* part :
           {"layer.A_real", "layer.A_imag", "layer.P", "norm.weight", "norm.bias"}) {
        EXPECT_EQ(found[part], slow) << name << " " << part;
      }
      EXPECT_EQ(found["layer.log_dt"], global ? rest : slow) << name;
      EXPECT_EQ(found["layer.B"], places[0]) << name;
      EXPECT_EQ(found["layer.C"], places[1]) << name;
      EXPECT_EQ(found["layer.D"], places[2]) << name;
      EXPECT_EQ(found["mixing.linear.weight"], rest) << name;
      EXPECT_EQ(found["encoder.weight"], rest) << name;
      EXPECT_EQ(found["decoder.bias"], rest) << name;
    }
  }
  EXPECT_THROW(parse_group_rule("fast"), ritz::InvalidArgument);
}

TEST(ParameterGroups, ASchedulePullsAllRatesAlike) {
  ModelOptions options;
  parse_model("s5:1x4x6", options);
  const auto network = make_network(std::make_shared<SequenceModel>(options));
  const auto adam = make_adamw(network, {.lr = 4e-3, .ssm_lr = 1e-3, .weight_decay = 0});
  adam->set_lr(2e-3);
  auto found = rates(network, *adam);
  EXPECT_DOUBLE_EQ(found["layer.A_real"].lr, 5e-4);
  EXPECT_DOUBLE_EQ(found["layer.C"].lr, 2e-3);
  EXPECT_THROW(make_adamw(network, {.lr = 0}), ritz::InvalidArgument);
  EXPECT_THROW(make_adamw(network, {.ssm_lr = -1}), ritz::InvalidArgument);
}

}  // namespace
