#include "ritz/sequence/model/parameter_groups.h"

#include <torch/types.h>

#include <array>
#include <set>

#include "ritz/base/check.h"

namespace ritz::sequence {

namespace {

constexpr std::array<std::pair<std::string_view, GroupRule>, 4> kRules{
    {{"standard", GroupRule::standard},
     {"BandCdecay", GroupRule::b_and_c_decay},
     {"BfastandCdecay", GroupRule::b_fast_and_c_decay},
     {"noBCdecay", GroupRule::no_b_c_decay}}};

/// A group whose rate is `scale` times the one that is set for all.
struct ScaledGroup : optim::GroupOptions<optim::AdamOptions> {
  ScaledGroup(optim::AdamOptions options, double scale)
      : optim::GroupOptions<optim::AdamOptions>(options), scale(scale) {}
  void set_lr(const double lr) override { values.lr = lr * scale; }
  std::unique_ptr<torch::optim::OptimizerOptions> clone() const override {
    return std::make_unique<ScaledGroup>(*this);
  }
  double scale;
};

enum Place { slow, slow_decay, rest };

Place place_of(const std::string& name, const GroupOptions& options) {
  const std::string last = name.substr(name.rfind('.') + 1);
  const auto is = [&](std::initializer_list<std::string_view> names) {
    return std::find(names.begin(), names.end(), last) != names.end();
  };
  if (is({"A_real", "A_imag", "P"})) return slow;
  if (is({"log_dt"})) return options.dt_global ? rest : slow;
  if (("." + name).find(".norm.") != std::string::npos) return slow;
  switch (options.rule) {
    case GroupRule::standard:
      return is({"B"}) ? slow : rest;
    case GroupRule::b_and_c_decay:
      return is({"B"}) ? slow_decay : rest;
    case GroupRule::no_b_c_decay:
      return is({"B", "C", "D"}) ? slow : rest;
    case GroupRule::b_fast_and_c_decay:
      break;
  }
  return rest;
}

}  // namespace

GroupRule parse_group_rule(std::string_view name) {
  std::string known;
  for (const auto& [each, rule] : kRules) {
    if (each == name) return rule;
    known += (known.empty() ? "" : "|") + std::string(each);
  }
  throw InvalidArgument("groups", known, name);
}

std::unique_ptr<optim::Adam> make_adamw(const nn::Network& network, const GroupOptions& options) {
  check_positive("lr", options.lr);
  check_positive("ssm_lr", options.ssm_lr);
  check_non_negative("weight_decay", options.weight_decay);
  std::array<std::vector<Tensor>, 3> members;
  for (const auto& [name, value] : network.parameters) {
    members[place_of(name, options)].push_back(value);
  }
  std::vector<torch::optim::OptimizerParamGroup> groups;
  for (const Place place : {slow, slow_decay, rest}) {
    if (members[place].empty()) continue;
    optim::AdamOptions adam = options.adam;
    adam.decoupled = true;
    adam.weight_decay = place == slow ? 0 : options.weight_decay;
    adam.lr = place == rest ? options.lr : options.ssm_lr;
    groups.emplace_back(members[place], std::make_unique<ScaledGroup>(adam, adam.lr / options.lr));
  }
  return std::make_unique<optim::Adam>(groups);
}

}  // namespace ritz::sequence
