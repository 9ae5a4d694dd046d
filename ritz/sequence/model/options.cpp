#include "ritz/sequence/model/options.h"

#include <torch/types.h>

#include <charconv>
#include <functional>

#include "ritz/base/check.h"

namespace ritz::sequence {

namespace {

template <class T>
using Word = std::pair<std::string_view, T>;

template <class Words>
auto parse_word(std::string_view what, std::string_view word, const Words& words) {
  std::string known;
  for (const auto& [name, value] : words) {
    if (name == word) return value;
    known += (known.empty() ? "" : "|") + std::string(name);
  }
  throw InvalidArgument(what, known, word);
}

template <class T, class Words>
std::string word_of(T value, const Words& words) {
  for (const auto& [name, each] : words) {
    if (each == value) return std::string(name);
  }
  return {};
}

constexpr auto kMixings = std::to_array<Word<Mixing>>({{"gelu", Mixing::gelu},
                                                       {"full-glu", Mixing::full_glu},
                                                       {"glu", Mixing::full_glu},
                                                       {"half-glu1", Mixing::half_glu1},
                                                       {"half-glu2", Mixing::half_glu2}});
constexpr auto kNorms = std::to_array<Word<Norm>>(
    {{"layer", Norm::layer}, {"batch", Norm::batch}, {"none", Norm::none}});
constexpr auto kPoolings =
    std::to_array<Word<Pooling>>({{"mean", Pooling::mean}, {"last", Pooling::last}});
constexpr auto kRealParts = std::to_array<Word<RealPart>>(
    {{"exponential", RealPart::exponential}, {"clipped", RealPart::clipped}});
constexpr auto kOutputForms = std::to_array<Word<OutputForm>>({{"diagonal", OutputForm::diagonal},
                                                               {"lecun", OutputForm::lecun},
                                                               {"original", OutputForm::original}});
constexpr auto kStorages =
    std::to_array<Word<Storage>>({{"conjugate", Storage::conjugate}, {"full", Storage::full}});
constexpr auto kFlags = std::to_array<Word<bool>>({{"false", false}, {"true", true}});
constexpr auto kDiscretisations =
    std::to_array<Word<Discretisation>>({{"zoh", Discretisation::zoh},
                                         {"bilinear", Discretisation::bilinear},
                                         {"dirac", Discretisation::dirac}});

int64_t parse_count(std::string_view what, std::string_view text, int64_t least) {
  int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || value < least) {
    throw InvalidArgument(what, "a whole number >= " + std::to_string(least), text);
  }
  return value;
}

double parse_number(std::string_view what, std::string_view text) {
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || !std::isfinite(value)) {
    throw InvalidArgument(what, "a number", text);
  }
  return value;
}

/// A field as text, both ways.
struct Field {
  std::string key;
  std::function<std::string()> write;
  std::function<void(const std::string&)> read;
};

/// Every field that shapes the model or what it computes, in one place for both directions.
std::vector<Field> fields(ModelOptions& o) {
  std::vector<Field> all;
  const auto count = [&](const char* name, int64_t& field, int64_t least) {
    const std::string key = std::string("sequence.") + name;
    all.push_back({key, [&field] { return std::to_string(field); },
                   [&field, key, least](const auto& t) { field = parse_count(key, t, least); }});
  };
  const auto number = [&](const char* name, double& field) {
    const std::string key = std::string("sequence.") + name;
    all.push_back({key, [&field] { return number_text(field); },
                   [&field, key](const auto& t) { field = parse_number(key, t); }});
  };
  const auto word = [&](const char* name, auto& field, const auto& words) {
    const std::string key = std::string("sequence.") + name;
    all.push_back({key, [&field, &words] { return word_of(field, words); },
                   [&field, key, &words](const auto& t) { field = parse_word(key, t, words); }});
  };
  // An option left to its default is the empty word.
  const auto choice = [&](const char* name, auto& field, const auto& words) {
    const std::string key = std::string("sequence.") + name;
    all.push_back({key, [&field, &words] { return field ? word_of(*field, words) : std::string(); },
                   [&field, key, &words](const auto& t) {
                     if (t.empty()) {
                       field.reset();
                     } else {
                       field = parse_word(key, t, words);
                     }
                   }});
  };
  LayerOptions& l = o.layer;
  word("bidirectional", l.bidirectional, kFlags);
  count("blocks", l.blocks, 1);
  count("systems", l.systems, 1);
  word("steps_by_state", l.steps_by_state, kFlags);
  number("dt_min", l.dt_min);
  number("dt_max", l.dt_max);
  choice("discretisation", l.discretisation, kDiscretisations);
  choice("real_part", l.real_part, kRealParts);
  choice("output", l.output, kOutputForms);
  word("storage", l.storage, kStorages);
  word("freeze_A", l.freeze_A, kFlags);
  word("freeze_B", l.freeze_B, kFlags);
  word("freeze_dt", l.freeze_dt, kFlags);
  count("stored", l.stored, 0);
  count("channels", o.channels, 1);
  count("vocabulary", o.vocabulary, 0);
  count("outputs", o.outputs, 1);
  word("pairs", o.pairs, kFlags);
  word("residual", o.residual, kFlags);
  word("prenorm", o.prenorm, kFlags);
  word("norm", o.norm, kNorms);
  number("norm_momentum", o.norm_momentum);
  word("mixing", o.mixing, kMixings);
  number("dropout", o.dropout);
  word("pooling", o.pooling, kPoolings);
  return all;
}

}  // namespace

std::string layer_kind_name(LayerKind kind) {
  for (const auto& [name, each] : kLayerKinds) {
    if (each == kind) return std::string(name);
  }
  return {};
}

void parse_model(const std::string& text, ModelOptions& options) {
  const auto refuse = [&] {
    std::string kinds;
    for (const auto& [name, kind] : kLayerKinds)
      kinds += (kinds.empty() ? "" : "|") + std::string(name);
    throw InvalidArgument("model", kinds + ":LAYERSxWIDTHxSTATES, such as s4-ptd:2x64x32", text);
  };
  const size_t colon = text.find(':');
  const std::string_view all(text), name = all.substr(0, colon);
  bool known = false;
  for (const auto& [each, kind] : kLayerKinds) {
    if (each != name) continue;
    options.layer.kind = kind;
    known = true;
  }
  if (!known || colon == std::string::npos) refuse();
  std::string_view rest = all.substr(colon + 1);
  for (int64_t* field : {&options.layers, &options.layer.width, &options.layer.states}) {
    const auto [end, error] = std::from_chars(rest.data(), rest.data() + rest.size(), *field);
    if (error != std::errc() || *field < 1 || *field > (1 << 20)) refuse();
    rest.remove_prefix(static_cast<size_t>(end - rest.data()));
    const bool last = field == &options.layer.states;
    if (last ? !rest.empty() : !rest.starts_with('x')) refuse();
    if (!last) rest.remove_prefix(1);
  }
}

std::string model_description(const ModelOptions& options) {
  return layer_kind_name(options.layer.kind) + ":" + std::to_string(options.layers) + "x" +
         std::to_string(options.layer.width) + "x" + std::to_string(options.layer.states);
}

std::map<std::string, std::string> model_metadata(const ModelOptions& options) {
  ModelOptions copy = options;
  std::map<std::string, std::string> metadata{{"model", model_description(options)}};
  for (const auto& field : fields(copy)) metadata[field.key] = field.write();
  return metadata;
}

ModelOptions model_options(const std::map<std::string, std::string>& metadata,
                           const std::string& file) {
  ModelOptions options;
  const auto text = [&](const std::string& key) {
    const auto found = metadata.find(key);
    if (found == metadata.end()) {
      throw DataError("model file", "that of a sequence model, with " + key + " in its metadata",
                      "none", file);
    }
    return found->second;
  };
  try {
    for (const auto& field : fields(options)) field.read(text(field.key));
    parse_model(text("model"), options);
  } catch (const InvalidArgument& error) {
    throw DataError("model file", "a sequence model's metadata", error.what(), file);
  }
  return options;
}

Mixing parse_mixing(std::string_view word) {
  return parse_word("activation", word, kMixings);
}
Norm parse_norm(std::string_view word) {
  return parse_word("norm", word, kNorms);
}
Pooling parse_pooling(std::string_view word) {
  return parse_word("pooling", word, kPoolings);
}
RealPart parse_real_part(std::string_view word) {
  return parse_word("real part", word, kRealParts);
}
OutputForm parse_output_form(std::string_view word) {
  return parse_word("output", word, kOutputForms);
}

}  // namespace ritz::sequence
