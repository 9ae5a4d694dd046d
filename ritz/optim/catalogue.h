#pragma once
// The optimisers that `ritz train` and the studies know by name, and their own options. No libtorch
// here: the program lists them without loading it.
#include <array>
#include <charconv>
#include <cmath>
#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <string_view>

#include "ritz/base/error.h"

namespace ritz::optim {

/// An option `KEY=VALUE`. `form` says what is allowed, alternatives between bars: a word, an
/// interval such as "[0,1)" (numbers), or one that begins with "int" (whole numbers); "text" is
/// any text.
struct KeyEntry {
  std::string_view key, preset, form, help;
};

struct OptimizerEntry {
  std::string_view name, summary;
  double lr;  // where --lr is not given
  std::span<const KeyEntry> keys;
  bool needs_layers = false;  // looks into ritz's own layers
};

namespace detail {

inline constexpr KeyEntry kSgdKeys[] = {
    {"momentum", "0.9", "[0,1)", "share of the last direction that is kept"},
    {"dampening", "0", "[0,1]", "share of the gradient that is kept back from the momentum"},
    {"nesterov", "false", "true|false", "look ahead along the momentum"},
    {"weight-decay", "0", "[0,inf)", "coupled: added to the gradient times the weights"},
};
inline constexpr KeyEntry kAdamKeys[] = {
    {"beta1", "0.9", "[0,1)", "decay of the first moment"},
    {"beta2", "0.999", "[0,1)", "decay of the second moment"},
    {"eps", "1e-08", "[0,inf)", "added to the second moment's root"},
    {"weight-decay", "0", "[0,inf)", "coupled: added to the gradient times the weights"},
};
inline constexpr KeyEntry kAdamWKeys[] = {
    {"beta1", "0.9", "[0,1)", "decay of the first moment"},
    {"beta2", "0.999", "[0,1)", "decay of the second moment"},
    {"eps", "1e-08", "[0,inf)", "added to the second moment's root"},
    {"weight-decay", "0", "[0,inf)", "decoupled: weights shrink by lr times it, moments unseen"},
};
inline constexpr KeyEntry kAdagradKeys[] = {
    {"lr-decay", "0", "[0,inf)", "lr is divided by 1 + (step - 1) lr-decay"},
    {"initial", "0", "[0,inf)", "where the sum of squares starts"},
    {"eps", "1e-10", "[0,inf)", "added to the sum's root"},
    {"weight-decay", "0", "[0,inf)", "coupled: added to the gradient times the weights"},
};
inline constexpr KeyEntry kLambKeys[] = {
    {"beta1", "0.9", "[0,1)", "decay of the first moment"},
    {"beta2", "0.999", "[0,1)", "decay of the second moment"},
    {"eps", "1e-06", "[0,inf)", "added to the second moment's root"},
    {"weight-decay", "0", "[0,inf)", "decoupled: added to the direction after the moments"},
    {"form", "corrected", "corrected|clamped",
     "moments corrected for their start; or as they are, with |w| cut at 10"},
};

inline constexpr KeyEntry kAdaHessianKeys[] = {
    {"beta1", "0.9", "[0,1)", "decay of the gradients' mean"},
    {"beta2", "0.999", "[0,1)", "decay of the squared Hessian diagonals' mean"},
    {"eps", "0.0001", "[0,inf)", "added to the k-th power of the diagonal's size"},
    {"k", "1", "[0,1]", "power of the Hessian; 0 is momentum alone"},
    {"weight-decay", "0", "[0,inf)", "decoupled: weights shrink by lr times it, moments unseen"},
    {"block", "kernel", "kernel|row|none|int[1,inf)",
     "entries that share their mean: a kernel's taps, an output's inputs, or so many in a row"},
    {"combine", "abs", "abs|signed", "means of |h| (the authors' code) or of z h"},
    {"f", "1", "int[1,inf)", "steps from one look at the Hessian to the next"},
    {"warmup", "10", "int[0,inf)", "first steps, which all look"},
    {"delay", "reuse", "reuse|hold", "between looks: the last diagonal again, or none"},
    {"probes", "1", "int[1,inf)", "random vectors a look"},
    {"warm-samples", "1", "int[1,inf)", "of the first look, if more"},
    {"products", "double", "double|difference|ggn",
     "H z by double backward, by differences of gradients, or the Gauss-Newton matrix's"},
    {"cap", "0", "[0,inf)", "steps beyond cap times a tensor's median size are cut; 0: none"},
    {"clip", "0", "[0,inf)", "most root mean square of a tensor's step over lr; 0: any"},
};

inline constexpr KeyEntry kSpectralKeys[] = {
    {"operator", "hessian", "hessian|ggn", "the curvature it looks at"},
    {"every", "0", "int[0,inf)", "steps between looks; 0: twice an epoch"},
    {"sample", "0", "int[0,inf)", "samples of a look; 0: those of a step"},
    {"m", "15", "int[1,inf)", "Lanczos steps of a look"},
    {"floor", "wpos", "wpos|pos|edge",
     "least curvature that counts: mean of the positive, smallest positive, or -lambda_min"},
    {"momentum", "learned", "learned|[0,1)", "heavy ball's optimum, or fixed"},
    {"cap", "0.9", "[0,1)", "of the learned momentum"},
    {"safety", "0.25", "(0,inf)", "share of the optimal learning rate"},
    {"smoothing", "0.5", "(0,1]", "share of a new look"},
    {"cauchy", "false", "true|false",
     "exact line search once an epoch instead, after one epoch at --lr"},
    {"weight-decay", "0", "[0,inf)", "coupled: added to the gradient times the weights"},
};

inline constexpr KeyEntry kMfacKeys[] = {
    {"m", "1024", "int[1,inf)", "gradients in the window; lr must shrink like 1/m"},
    {"damping", "1e-05", "(0,inf)", "lambda, added to the Fisher matrix"},
    {"momentum", "0", "[0,1)", "share of the last direction that is kept"},
    {"weight-decay", "0", "[0,inf)", "coupled: added to the gradient, and so in the window"},
    {"mode", "chol", "chol|paper|updown",
     "how the small matrix is solved; one answer, three costs"},
    {"fill", "zeros", "zeros|skip", "until the window is full: as it is; or the scaled gradient"},
    {"sparse", "false", "true|false", "weights that are 0 at the start stay 0"},
    {"storage", "full", "full|bfloat16|float16", "what the window is kept in"},
};
inline constexpr KeyEntry kGgtKeys[] = {
    {"m", "100", "int[1,inf)", "gradients in the window"},
    {"damping", "0.0001", "(0,inf)", "eps, added to the root of the second moments"},
    {"momentum", "0.9", "[0,1)", "share of the last direction that is kept"},
    {"weight-decay", "0", "[0,inf)", "coupled: added to the gradient, and so in the window"},
    {"storage", "full", "full|bfloat16|float16", "what the window is kept in"},
};

/// Of the Kronecker-factored optimisers: who takes the preconditioned gradient, and which layers.
inline constexpr KeyEntry kBackendKeys[] = {
    {"backend", "sgd", "sgd|adam|adamw|lamb|adagrad", "takes the preconditioned gradient"},
    {"momentum", "0.9", "[0,1)", "the backend's: sgd's momentum, beta1 of Adam's kind"},
    {"beta2", "0.999", "[0,1)", "the backend's decay of the second moment"},
    {"weight-decay", "0", "[0,inf)",
     "the backend's; coupled in sgd, adam, adagrad, else decoupled"},
    {"exclude", "", "text", "modules left first-order: names or patterns (*, ?), commas between"},
};

/// One array of two, each a C array or a std::array.
template <class A, class B>
constexpr auto joined(const A& a, const B& b) {
  std::array<KeyEntry, (sizeof(A) + sizeof(B)) / sizeof(KeyEntry)> all{};
  auto to = all.begin();
  for (const KeyEntry& key : a) *to++ = key;
  for (const KeyEntry& key : b) *to++ = key;
  return all;
}

inline constexpr KeyEntry kMkorOwnKeys[] = {
    {"form", "reference", "reference|ema|paper",
     "of a renewal: the code's; the exact inverse of K-FAC's average; the paper's as printed"},
    {"gamma", "0.95", "(0,1)", "share of the old factors that a renewal keeps"},
    {"f", "10", "int[1,inf)", "steps between renewals, at steps 1, 1 + f, ..."},
    {"warmup", "0", "int[0,inf)", "so many first steps renew each"},
    {"half", "true", "true|false|bf16",
     "factors in float16 or bfloat16, vectors travel as float16; false: all in --dtype"},
    {"rank", "1", "int[1,inf)", "vectors a factor and renewal: the mean, or the top few"},
    {"rescale", "layer", "layer|parts|kl-clip|none",
     "the preconditioned gradient's length: the gradient's, by layer or by weight plus bias; or "
     "K-FAC's clip"},
    {"kl-clip", "0.001", "(0,inf)", "of rescale=kl-clip"},
    {"eps", "2", "(0,inf)", "stabiliser: largest factor that is left as it is"},
    {"zeta", "0.9", "[0,1]", "stabiliser: share of a larger one that is kept, the rest is I"},
    {"stabiliser", "entry", "entry|row-sum", "what of a factor is compared with eps"},
    {"clip", "100", "(0,inf)", "of the entries of mean inputs and output gradients"},
    {"verify", "100", "int[0,inf)", "renewals between comparisons of all ranks' factors; 0: none"},
};
inline constexpr KeyEntry kSwitchKeys[] = {
    {"switch", "auto", "auto|never|int[1,inf)",
     "from which step on the backend goes on alone: where the loss's fall has slowed, or as given"},
    {"window", "200", "int[3,inf)", "auto: losses that make up the recent fall"},
    {"min-steps", "600", "int[13,inf)", "auto: steps before the first check"},
    {"check", "50", "int[1,inf)", "auto: steps between checks"},
    {"beta", "0.05", "(0,inf)", "auto: share of the overall fall that counts as slow"},
    {"patience", "2", "int[1,inf)", "auto: slow checks in a row that it takes"},
};
inline constexpr auto kMkorKeys = joined(kMkorOwnKeys, kBackendKeys);
inline constexpr auto kMkorHybridKeys = joined(kSwitchKeys, kMkorKeys);

inline constexpr KeyEntry kKfacOwnKeys[] = {
    {"f", "10", "int[1,inf)", "steps between inversions of the factors"},
    {"factor-every", "1", "int[1,inf)", "steps between updates of the factors"},
    {"warmup", "0", "int[0,inf)", "so many first steps do both"},
    {"damping", "0.001", "(0,inf)", "added to the curvature"},
    {"decay", "0.95", "[0,1)", "share of the factors that is kept"},
    {"form", "eigen", "eigen|inverse",
     "damping beside the products of eigenvalues; or in each factor, many times faster"},
    {"rescale", "kl-clip", "kl-clip|layer|parts|none",
     "cut by the predicted change; or each layer as long as its gradient"},
    {"kl-clip", "0.001", "(0,inf)", "of rescale=kl-clip"},
    {"placement", "comm", "mem|hybrid|comm",
     "inverses on one process each, on a share of them, or on all"},
    {"workers", "0.5", "[0,1]", "share of the processes, of placement=hybrid"},
};
inline constexpr KeyEntry kEvaOwnKeys[] = {
    {"f", "1", "int[1,inf)", "steps between renewals of the vectors"},
    {"warmup", "0", "int[0,inf)", "so many first steps renew each"},
    {"damping", "0.03", "(0,inf)", "added to the curvature"},
    {"weight", "0.95", "(0,1]", "share of a new mean in the vectors"},
    {"rescale", "kl-clip", "kl-clip|layer|parts|none",
     "cut by the predicted change; or each layer as long as its gradient"},
    {"kl-clip", "0.001", "(0,inf)", "of rescale=kl-clip"},
};
inline constexpr KeyEntry kSngdOwnKeys[] = {
    {"f", "10", "int[1,inf)", "steps between renewals of the samples"},
    {"warmup", "0", "int[0,inf)", "so many first steps renew each"},
    {"damping", "0.1", "(0,inf)", "added to the curvature"},
    {"rescale", "kl-clip", "kl-clip|layer|parts|none",
     "cut by the predicted change; or each layer as long as its gradient"},
    {"kl-clip", "0.001", "(0,inf)", "of rescale=kl-clip"},
};
inline constexpr KeyEntry kHyloOwnKeys[] = {
    {"f", "10", "int[1,inf)", "steps between renewals of the samples"},
    {"warmup", "0", "int[0,inf)", "so many first steps renew each"},
    {"damping", "0.1", "(0,inf)", "added to the curvature"},
    {"ratio", "0.1", "(0,1]", "share of the samples that is kept"},
    {"form", "auto", "auto|kis|kid",
     "samples drawn by importance, or an interpolative decomposition; auto: kid first"},
    {"kid-steps", "1000", "int[0,inf)",
     "of form=auto: steps of kid, from the start and from each fall of the learning rate"},
    {"rescale", "kl-clip", "kl-clip|layer|parts|none",
     "cut by the predicted change; or each layer as long as its gradient"},
    {"kl-clip", "0.001", "(0,inf)", "of rescale=kl-clip"},
};

inline constexpr auto kKfacKeys = joined(kKfacOwnKeys, kBackendKeys);
inline constexpr auto kEvaKeys = joined(kEvaOwnKeys, kBackendKeys);
inline constexpr auto kSngdKeys = joined(kSngdOwnKeys, kBackendKeys);
inline constexpr auto kHyloKeys = joined(kHyloOwnKeys, kBackendKeys);

}  // namespace detail

inline constexpr OptimizerEntry kOptimizers[] = {
    {"sgd", "gradient descent with momentum", 0.1, detail::kSgdKeys},
    {"adam", "Adam", 1e-3, detail::kAdamKeys},
    {"adamw", "Adam with decoupled weight decay", 1e-3, detail::kAdamWKeys},
    {"adagrad", "Adagrad", 1e-2, detail::kAdagradKeys},
    {"lamb", "LAMB: Adam's direction scaled to each layer's weights", 1e-2, detail::kLambKeys},
    {"adahessian", "Adam with the Hessian's diagonal in place of squared gradients", 0.15,
     detail::kAdaHessianKeys},
    {"kfac", "K-FAC: divides by Kronecker factors of the Fisher matrix", 0.1, detail::kKfacKeys,
     true},
    {"eva", "Eva: K-FAC with factors of rank one", 0.1, detail::kEvaKeys, true},
    {"sngd", "natural gradient through the kernel of a batch's gradients", 0.1, detail::kSngdKeys,
     true},
    {"hylo", "HyLo: the same through a tenth of the batch", 0.1, detail::kHyloKeys, true},
    {"mfac", "M-FAC: the inverse Fisher matrix of the last m gradients", 1e-3, detail::kMfacKeys},
    {"ggt", "GGT: full-matrix AdaGrad over the last m gradients", 1e-2, detail::kGgtKeys},
    {"spectral", "heavy ball that sets its own rate and momentum from the loss's curvature", 0.1,
     detail::kSpectralKeys},
    {"mkor", "Kronecker-factored, inverse factors renewed by rank-1 updates", 0.1,
     detail::kMkorKeys, /*needs_layers=*/true},
    {"mkor-h", "MKOR at first, its backend alone once the loss falls slowly", 0.1,
     detail::kMkorHybridKeys, /*needs_layers=*/true},
};

/// Throws UsageError listing the names where there is no such optimiser.
inline const OptimizerEntry& find_optimizer(std::string_view name) {
  std::string names;
  for (const auto& entry : kOptimizers) {
    if (entry.name == name) return entry;
    names += (names.empty() ? "" : ", ") + std::string(entry.name);
  }
  throw UsageError("--optimizer", "one of " + names + " in this version", name);
}

/// Is `value` of the form that a KeyEntry names?
inline bool has_form(std::string_view form, std::string_view value) {
  if (form == "text") return true;
  if (const size_t bar = form.find('|'); bar != form.npos) {
    return has_form(form.substr(0, bar), value) || has_form(form.substr(bar + 1), value);
  }
  const bool whole = form.starts_with("int");
  if (whole) form.remove_prefix(3);
  if (form.front() != '[' && form.front() != '(') return value == form;
  const auto number = [](std::string_view text, double& into) {
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), into);
    return error == std::errc() && end == text.data() + text.size();
  };
  double x = 0, low = 0, high = 0;
  if (!number(value, x) || !std::isfinite(x) || (whole && x != std::floor(x))) return false;
  const size_t comma = form.find(',');
  number(form.substr(1, comma - 1), low);
  number(form.substr(comma + 1, form.size() - comma - 2), high);
  return (form.front() == '[' ? x >= low : x > low) && (form.back() == ']' ? x <= high : x < high);
}

/// An optimiser's options, all of them: what is given, and the presets for the rest.
class Settings {
 public:
  /// `given` is a list of KEY=VALUE. Throws UsageError for unknown keys and values not allowed.
  template <class Words>
  Settings(const OptimizerEntry& entry, const Words& given) {
    for (const auto& key : entry.keys) values_[std::string(key.key)] = key.preset;
    for (const std::string& word : given) {
      const size_t equals = word.find('=');
      const std::string key = word.substr(0, equals);
      const KeyEntry* found = nullptr;
      std::string known;
      for (const auto& each : entry.keys) {
        if (each.key == key) found = &each;
        known += (known.empty() ? "" : ", ") + std::string(each.key);
      }
      if (found == nullptr || equals == word.npos) {
        throw UsageError("--opt",
                         "KEY=VALUE with a key of " + std::string(entry.name) + ": " + known, word);
      }
      const std::string value = word.substr(equals + 1);
      if (!has_form(found->form, value)) {
        throw UsageError("--opt " + key, found->form, value);
      }
      values_[key] = value;
    }
  }

  const std::string& text(const std::string& key) const { return values_.at(key); }
  bool flag(const std::string& key) const { return text(key) == "true"; }
  double number(const std::string& key) const {
    double value = 0;
    const std::string& digits = text(key);
    std::from_chars(digits.data(), digits.data() + digits.size(), value);
    return value;
  }
  const std::map<std::string, std::string>& all() const { return values_; }

 private:
  std::map<std::string, std::string> values_;
};

/// The learning rate where the user gives none: the backend's where there is one.
inline double default_rate(const OptimizerEntry& entry, const Settings& settings) {
  const auto backend = settings.all().find("backend");
  return backend == settings.all().end() ? entry.lr : find_optimizer(backend->second).lr;
}

}  // namespace ritz::optim
