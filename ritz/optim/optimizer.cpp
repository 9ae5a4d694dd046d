#include "ritz/optim/optimizer.h"

#include <torch/serialize/archive.h>
#include <torch/types.h>

#include <map>

#include "ritz/base/check_tensor.h"
#include "ritz/optim/typed.h"

namespace ritz::optim {

namespace {
constexpr const char* kNames = "names";
}

void check_rate(std::string_view name, double value) {
  check_in(name, value, 0, 1);
  if (value == 1) throw InvalidArgument(name, "a value below 1", "1");
}

void assign_state(const std::vector<NamedTensor>& own, const std::vector<NamedTensor>& given) {
  constexpr const char* kWhere = "optimiser state";
  std::map<std::string, Tensor> values;
  for (const auto& [name, value] : given) values[name] = value;
  for (const auto& [name, value] : own) {
    const auto found = values.find(name);
    if (found == values.end()) throw DataError(name, describe(value), "nothing", kWhere);
    if (found->second.sizes() != value.sizes() ||
        found->second.scalar_type() != value.scalar_type()) {
      throw DataError(name, describe(value), describe(found->second), kWhere);
    }
  }
  if (values.size() != own.size()) {
    for (const auto& [name, value] : own) values.erase(name);
    throw DataError(values.begin()->first, "no tensor of that name", "one", kWhere);
  }
  const at::NoGradGuard no_graph;
  for (const auto& [name, value] : own) value.copy_(values[name]);
}

void Optimizer::save(torch::serialize::OutputArchive& archive) const {
  // state_dict hands out live tensors and so is not const; saving does not change them.
  const auto state = const_cast<Optimizer*>(this)->state_dict();
  c10::List<std::string> names;
  for (size_t k = 0; k < state.size(); ++k) {
    names.push_back(state[k].name);
    archive.write("tensor." + std::to_string(k), state[k].value, /*is_buffer=*/true);
  }
  archive.write(kNames, c10::IValue(names));
}

void Optimizer::load(torch::serialize::InputArchive& archive) {
  c10::IValue names;
  archive.read(kNames, names);
  std::vector<NamedTensor> state;
  for (const c10::IValue& name : names.toListRef()) {
    Tensor value;
    archive.read("tensor." + std::to_string(state.size()), value, /*is_buffer=*/true);
    state.push_back({name.toStringRef(), value});
  }
  load_state_dict(state);
}

void Optimizer::set_lr(double lr) {
  for (auto& group : param_groups()) group.options().set_lr(lr);
}

void Optimizer::set_momentum(double) {
  throw Unsupported("momentum: this optimiser has none to set");
}

}  // namespace ritz::optim
