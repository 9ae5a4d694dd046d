#include "ritz/koopman/dictionary.h"

#include <torch/types.h>

#include <numbers>

#include "ritz/base/check_tensor.h"
#include "ritz/koopman/detail/float64.h"

namespace ritz::koopman {
namespace {

using detail::float64;

class Linear : public Dictionary {
 public:
  Linear(int64_t d, const Tensor& map) : d_(d), map_(map.defined() ? float64(map) : map) {}
  int64_t size() const override { return map_.defined() ? map_.size(0) : d_; }
  int64_t dimension() const override { return d_; }
  Tensor operator()(const Tensor& states) const override {
    const Tensor x = float64(states);
    if (!map_.defined()) return x;
    if (x.is_complex() == map_.is_complex()) return x.matmul(map_.t());
    return detail::complex128(x).matmul(detail::complex128(map_).t());
  }

 private:
  int64_t d_;
  Tensor map_;
};

class Polynomial : public Dictionary {
 public:
  Polynomial(int64_t d, int64_t size) : d_(d) {
    // Monomials of one degree in the order of their sorted variables (1,1), (1,2), (2,2), ...: each
    // is an earlier one times a variable not below its last.
    parent_.push_back(-1);
    variable_.push_back(0);
    for (size_t begin = 0; static_cast<int64_t>(parent_.size()) < size;) {
      const size_t end = parent_.size();
      for (size_t k = begin; k < end; ++k) {
        for (int64_t v = variable_[k]; v < d; ++v) {
          if (static_cast<int64_t>(parent_.size()) == size) return;
          parent_.push_back(static_cast<int64_t>(k));
          variable_.push_back(v);
        }
      }
      begin = end;
    }
  }
  int64_t size() const override { return static_cast<int64_t>(parent_.size()); }
  int64_t dimension() const override { return d_; }
  Tensor operator()(const Tensor& states) const override {
    const Tensor x = float64(states).t().contiguous();
    const Tensor values = torch::empty({size(), x.size(1)}, x.options());
    values[0].fill_(1);
    for (int64_t k = 1; k < size(); ++k) {
      Tensor out = values[k];
      const size_t at = static_cast<size_t>(k);
      at::mul_out(out, values[parent_[at]], x[variable_[at]]);
    }
    return values.t();
  }

 private:
  int64_t d_;
  std::vector<int64_t> parent_, variable_;
};

class Rbf : public Dictionary {
 public:
  Rbf(const Tensor& centres, double scale) : centres_(float64(centres)), scale_(scale) {}
  int64_t size() const override { return centres_.size(0); }
  int64_t dimension() const override { return centres_.size(1); }
  Tensor operator()(const Tensor& states) const override {
    return Kernel{KernelKind::laplacian, scale_ / 2}(states, centres_);
  }

 private:
  Tensor centres_;
  double scale_;
};

/// All k in Z^d with |k|_1 = degree whose first nonzero entry is positive, in falling order.
void add_half_sphere(std::vector<int64_t>& k, size_t at, int64_t degree, bool leading,
                     std::vector<std::vector<int64_t>>& out, size_t limit) {
  if (out.size() >= limit) return;
  if (at + 1 == k.size()) {
    for (const int64_t value : {degree, -degree}) {
      if (leading && value < 0) continue;
      k[at] = value;
      out.push_back(k);
      if (degree == 0) break;
    }
    return;
  }
  for (int64_t value = degree; value >= (leading ? 0 : -degree); --value) {
    k[at] = value;
    add_half_sphere(k, at + 1, degree - std::abs(value), leading && value == 0, out, limit);
  }
}

class Fourier : public Dictionary {
 public:
  Fourier(int64_t d, int64_t size, double period) : d_(d) {
    std::vector<std::vector<int64_t>> all{std::vector<int64_t>(static_cast<size_t>(d), 0)};
    for (int64_t degree = 1; static_cast<int64_t>(all.size()) < size; ++degree) {
      std::vector<std::vector<int64_t>> half;
      std::vector<int64_t> k(static_cast<size_t>(d), 0);
      add_half_sphere(k, 0, degree, true, half, static_cast<size_t>(size));
      for (auto& index : half) {
        all.push_back(index);
        for (int64_t& value : index) value = -value;
        all.push_back(index);
      }
    }
    all.resize(static_cast<size_t>(size));
    waves_ = torch::empty({size, d}, torch::kFloat64);
    for (int64_t j = 0; j < size; ++j) {
      waves_[j].copy_(torch::tensor(all[static_cast<size_t>(j)], torch::kInt64));
    }
    waves_ *= 2 * std::numbers::pi / period;
  }
  int64_t size() const override { return waves_.size(0); }
  int64_t dimension() const override { return d_; }
  Tensor operator()(const Tensor& states) const override {
    if (states.is_complex()) {
      throw InvalidArgument("fourier dictionary", "real states", describe(states));
    }
    const Tensor phase = float64(states).matmul(waves_.t().to(states.device()));
    return at::polar(torch::ones_like(phase), phase);
  }

 private:
  int64_t d_;
  Tensor waves_;  // [N, d]
};

class KernelSections : public Dictionary {
 public:
  KernelSections(const Kernel& kernel, const Tensor& states, const Tensor& T)
      : kernel_(kernel), states_(states), T_(T) {}
  int64_t size() const override { return T_.size(1); }
  int64_t dimension() const override { return states_.size(1); }
  Tensor operator()(const Tensor& states) const override {
    const Tensor K = kernel_(states, states_);
    return K.is_complex() == T_.is_complex() ? K.matmul(T_)
                                             : detail::complex128(K).matmul(detail::complex128(T_));
  }

 private:
  Kernel kernel_;
  Tensor states_, T_;
};

/// sqrt(w_m / max w) x_m.
Tensor weighted(const Snapshots& snapshots) {
  const Tensor x = float64(snapshots.x());
  if (!snapshots.weights.defined()) return x;
  const Tensor w = (snapshots.weights / snapshots.weights.max()).sqrt().to(x.device());
  return x * w.unsqueeze(1);
}

Tensor both_ends(const Snapshots& train) {
  if (train.consecutive() && train.pairs() + 1 == train.states.size(0)) return train.states;
  return torch::cat({train.x(), train.y()});
}

}  // namespace

DictionaryPtr linear_dictionary(int64_t d, const Tensor& map) {
  check_at_least("features", d, 1);
  if (map.defined()) check_shape("map", map, {-1, d});
  return std::make_shared<Linear>(d, map);
}

DictionaryPtr polynomial_dictionary(int64_t d, int64_t size) {
  check_at_least("features", d, 1);
  check_at_least("size", size, 1);
  return std::make_shared<Polynomial>(d, size);
}

// Cost: the SVD of M x d numbers, about 6 M d min(M, d) flops.
DictionaryPtr pod_dictionary(const Snapshots& snapshots, int64_t size) {
  check_at_least("size", size, 0);
  Tensor x = weighted(snapshots);
  if (x.size(0) > 2 * x.size(1)) x = std::get<1>(at::linalg_qr(x, "r"));
  const auto [u, s, vh] = at::linalg_svd(x, /*full_matrices=*/false);
  const double floor = static_cast<double>(std::max(x.size(0), x.size(1))) *
                       std::numeric_limits<double>::epsilon() * s[0].item<double>();
  const int64_t rank = (s > floor).sum().item<int64_t>();
  if (rank == 0) throw InvalidArgument("X", "snapshots other than zero", "all zero");
  // x = U diag(s) V^*: a state (a row) has the coefficients x V, so the map is V^T.
  const Tensor map = vh.slice(0, 0, size == 0 ? rank : std::min(size, rank)).conj();
  return linear_dictionary(snapshots.dimension(), map.resolve_conj());
}

DictionaryPtr rbf_dictionary(const Tensor& centres, double scale) {
  check_dim("centres", centres, 2);
  check_positive("scale", scale);
  return std::make_shared<Rbf>(centres, scale);
}

DictionaryPtr fourier_dictionary(int64_t d, int64_t size, double period) {
  check_at_least("features", d, 1);
  check_at_least("size", size, 1);
  check_positive("period", period);
  return std::make_shared<Fourier>(d, size, period);
}

DictionaryPtr kernel_dictionary(const Kernel& kernel, const Tensor& states, const Tensor& T) {
  check_dim("states", states, 2);
  check_shape("T", T, {states.size(0), -1});
  return std::make_shared<KernelSections>(kernel, states, T);
}

Lift make_lift(const DictionaryOptions& options, const Snapshots& train) {
  check_at_least("size", options.size, 0);
  const int64_t d = train.dimension(), quarter = std::max<int64_t>(1, train.pairs() / 4);
  const auto size_or = [&](int64_t standard) { return options.size > 0 ? options.size : standard; };
  Lift lift;
  lift.name = options.name;
  if (options.name == "linear") {
    if (options.size > 0 && options.size != d) {
      throw InvalidArgument("size", std::to_string(d) + " (linear: the features; pod takes fewer)",
                            std::to_string(options.size));
    }
    lift.functions = linear_dictionary(d);
  } else if (options.name == "polynomial") {
    lift.functions = polynomial_dictionary(d, size_or((d + 1) * (d + 2) / 2));
  } else if (options.name == "delay") {
    lift.delays = size_or(10);
    lift.spacing = options.spacing;
    lift.functions = linear_dictionary(d * lift.delays);
  } else if (options.name == "pod") {
    lift.functions =
        pod_dictionary(train, size_or(std::min(d, std::max<int64_t>(1, train.pairs() / 2))));
  } else if (options.name == "rbf") {
    const Tensor sample = options.centres.defined() ? options.centres : both_ends(train);
    check_shape("centres", sample, {-1, d});
    lift.scale = options.scale > 0 ? options.scale : mean_spread(sample);
    const int64_t count = size_or(std::min<int64_t>(100, quarter));
    lift.functions = rbf_dictionary(k_means(sample, count, {.seed = options.seed}), lift.scale);
  } else if (options.name == "fourier") {
    lift.functions = fourier_dictionary(d, size_or(25), options.period);
  } else if (options.name.starts_with("kernel:")) {
    const KernelKind kind = parse_kernel(std::string_view(options.name).substr(7));
    const Tensor x = train.x();
    const Kernel kernel = make_kernel(kind, x, options.scale, options.degree);
    lift.scale = kernel.scale;
    const Tensor T = principal_sections(kernel.gram(x), size_or(std::min<int64_t>(100, quarter)));
    lift.functions = kernel_dictionary(kernel, x, T);
  } else {
    throw InvalidArgument(
        "dictionary", "linear, polynomial, delay, pod, rbf, fourier or kernel:KIND", options.name);
  }
  return lift;
}

Snapshots Lift::prepare(const Snapshots& snapshots) const {
  return delay_embed(snapshots, delays, spacing);
}

}  // namespace ritz::koopman
