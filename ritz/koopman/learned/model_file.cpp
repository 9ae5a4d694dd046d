#include "ritz/koopman/learned/model_file.h"

#include <torch/types.h>

#include <charconv>

#include "ritz/base/check_tensor.h"
#include "ritz/io/safetensors.h"
#include "ritz/io/tensor.h"

namespace ritz::koopman::learned {
namespace {

constexpr const char* kKind = "koopman";

std::string list_text(const std::vector<int64_t>& values) {
  std::string text;
  for (const int64_t value : values) text += (text.empty() ? "" : ",") + std::to_string(value);
  return text;
}

/// The metadata of one file, read with errors that name key and file.
class Facts {
 public:
  Facts(const std::map<std::string, std::string>& facts, const std::string& path)
      : facts_(facts), path_(path) {}
  const std::string& text(const std::string& key) const {
    const auto found = facts_.find(key);
    if (found == facts_.end()) throw DataError("metadata", "the key " + key, "none", path_);
    return found->second;
  }
  int64_t integer(const std::string& key) const { return list(key, 1)[0]; }
  double real(const std::string& key) const {
    double value = 0;
    const std::string& word = text(key);
    const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), value);
    if (error != std::errc{} || end != word.data() + word.size()) bad(key, "a number");
    return value;
  }
  /// Non-negative integers below 2^40, `count` of them (0: at least one).
  std::vector<int64_t> list(const std::string& key, size_t count = 0) const {
    std::vector<int64_t> values;
    const std::string& word = text(key);
    const char *at = word.data(), *end = at + word.size();
    while (true) {
      int64_t value = 0;
      const auto [next, error] = std::from_chars(at, end, value);
      if (error != std::errc{} || value < 0 || value >> 40 != 0) bad(key, "integers >= 0");
      values.push_back(value);
      if (next == end) break;
      if (*next != ',') bad(key, "integers with commas between them");
      at = next + 1;
    }
    if (count > 0 && values.size() != count) bad(key, std::to_string(count) + " integer(s)");
    return values;
  }
  [[noreturn]] void bad(const std::string& key, const std::string& expected) const {
    throw DataError("metadata key " + key, expected, text(key), path_);
  }

 private:
  const std::map<std::string, std::string>& facts_;
  const std::string& path_;
};

constexpr std::pair<const char*, Transition> kTransitions[] = {{"linear", Transition::linear},
                                                               {"nonlinear", Transition::nonlinear},
                                                               {"pfnn", Transition::pfnn}};

}  // namespace

void save_model(const Model& model, const std::string& path,
                const std::map<std::string, std::string>& metadata, bool force) {
  const at::NoGradGuard no_graph;
  const auto& o = model.options();
  auto facts = metadata;
  facts["model"] = kKind;
  facts["network"] = o.network;
  facts["sample"] = list_text(o.sample);
  facts["latent"] = std::to_string(o.latent);
  facts["operator"] = name_of(o.op);
  facts["variational"] = o.variational ? "1" : "0";
  for (const auto& [name, kind] : kTransitions) {
    if (kind == o.transition) facts["transition"] = name;
  }
  facts["actions"] = std::to_string(o.actions);
  facts["transient"] = std::to_string(o.transient);
  facts["relation_types"] = std::to_string(o.relation_types);
  facts["ridge"] = number_text(o.ridge);
  facts["dtype"] = dtype_name(c10::typeMetaToScalarType(model.tensor_options().dtype()));
  std::vector<io::Array> arrays;
  const auto add = [&](const std::string& name, const Tensor& value) {
    arrays.push_back(io::to_array(name, value.detach()));
  };
  for (const auto& item : model.named_parameters()) add(item.key(), item.value());
  for (const auto& item : model.named_buffers()) add(item.key(), item.value());
  if (o.transition != Transition::nonlinear) {
    add("K", model.koopman_matrix().contiguous());
    if (o.actions > 0) add("B", model.linear_map().B.contiguous());
  }
  if (o.relations.defined()) add("relations", o.relations);
  io::write_safetensors(path, arrays, facts, force);
}

LoadedModel load_model(const std::string& path, const TensorOptions& options) {
  const auto file = io::read_safetensors(path);
  const Facts facts(file.metadata, path);
  const auto kind = file.metadata.find("model");
  if (kind == file.metadata.end() || kind->second != kKind) {
    throw DataError(
        "checkpoint", "a model that ritz koopman train wrote",
        kind == file.metadata.end() ? "a file without a model's name" : "a model " + kind->second,
        path);
  }
  std::map<std::string, Tensor> tensors;
  for (const auto& array : file.arrays) tensors[array.name] = io::to_tensor(array);
  const auto tensor = [&](const std::string& name) {
    const auto found = tensors.find(name);
    if (found == tensors.end()) throw DataError("tensors", name, "none of that name", path);
    return found->second;
  };
  const std::string& dtype = facts.text("dtype");
  if (dtype != "float32" && dtype != "float64") facts.bad("dtype", "float32 or float64");
  const auto stored = dtype == "float64" ? at::kDouble : at::kFloat;
  ModelOptions o{.network = facts.text("network"),
                 .sample = facts.list("sample"),
                 .latent = facts.integer("latent"),
                 .variational = facts.integer("variational") != 0,
                 .actions = facts.integer("actions"),
                 .transient = facts.integer("transient"),
                 .relation_types = facts.integer("relation_types"),
                 .ridge = facts.real("ridge"),
                 .tensor = options.has_dtype() ? options : options.dtype(stored)};
  bool known = false;
  for (const auto& [name, transition] : kTransitions) {
    if (facts.text("transition") == name) {
      o.transition = transition;
      known = true;
    }
  }
  if (!known) facts.bad("transition", "linear, nonlinear or pfnn");
  if (o.relation_types > 0) o.relations = tensor("relations").clone();
  LoadedModel loaded{nullptr, file.metadata};
  try {
    o.op = parse_operator(facts.text("operator"));
    loaded.model = std::make_shared<Model>(o);
    loaded.model->set_scale(tensor("shift"), tensor("scale"));
  } catch (const InvalidArgument& error) {
    throw DataError("model", "metadata of a Koopman model", error.what(), path);
  }
  const at::NoGradGuard no_graph;
  const auto copy = [&](const auto& items) {
    for (const auto& item : items) {
      const Tensor source = tensor(item.key());
      if (source.sizes() != item.value().sizes() || !source.is_floating_point()) {
        throw DataError("tensor " + item.key(), describe(item.value()), describe(source), path);
      }
      Tensor target = item.value();
      target.copy_(source);
    }
  };
  copy(loaded.model->named_parameters());
  copy(loaded.model->named_buffers());
  return loaded;
}

}  // namespace ritz::koopman::learned
