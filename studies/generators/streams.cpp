#include "studies/generators/streams.h"

#include <torch/types.h>

#include <algorithm>
#include <cmath>

#include "ritz/base/check.h"
#include "ritz/base/random.h"

namespace ritz::studies {
namespace {

TensorOptions with_default(const TensorOptions& options) {
  return options.has_dtype() ? options : options.dtype(torch::kFloat64);
}

// h orthonormal rows of length d, the first of them the planted direction.
Tensor orthonormal(RandomStream& random, int64_t h, int64_t d) {
  const Tensor gaussian = random.normal({d, h}, torch::dtype(torch::kFloat64));
  return std::get<0>(torch::linalg_qr(gaussian)).t().contiguous();
}

RowStream shuffled(RandomStream& random, const Tensor& rows, const Tensor& direction,
                   int64_t heavy_from, const TensorOptions& tensor) {
  const Tensor order = random.permutation(rows.size(0));
  RowStream made{rows.index_select(0, order).to(tensor), direction};
  const int64_t* at = order.const_data_ptr<int64_t>();
  for (int64_t i = 0; i < rows.size(0); ++i)
    if (at[i] >= heavy_from) made.heavy.push_back(i);
  return made;
}

}  // namespace

ExactDirection exact_direction(const Tensor& rows) {
  const Tensor A = rows.to(torch::kFloat64);
  const bool tall = A.size(0) >= A.size(1);
  const auto [w, V] = torch::linalg_eigh(tall ? A.t().mm(A) : A.mm(A.t()));
  const int64_t last = w.size(0) - 1;
  Tensor v = V.select(1, last);
  if (!tall) v = A.t().mv(v);
  const double first = w[last].item<double>();
  return {v / v.norm(), std::sqrt(first), last > 0 ? first / w[last - 1].item<double>() : 0};
}

RowStream heavy_rows(const HeavyRowsOptions& options) {
  const int64_t d = options.cols, n = options.rows, h = options.heavy;
  check_at_least("rows", n, 1);
  check_at_least("heavy", h, 0);
  check_at_least("cols", d, h + 1);
  check_positive("gap", options.gap);
  const double part = h > 0 ? options.gap / (2 * static_cast<double>(h)) : 0;
  if (h > 0) check_in("strength", options.strength, part, std::numeric_limits<double>::max());
  RandomStream random(options.seed, stream_id("streams/heavy-rows"));
  const auto f64 = torch::dtype(torch::kFloat64);
  const Tensor basis = orthonormal(random, h + 1, d);
  const auto count = static_cast<double>(n);
  const Tensor light =
      random.normal({n, d}, f64).div_(std::sqrt(count)) +
      random.rademacher({n, 1}, f64) * basis[0] * std::sqrt(options.gap / (2 * count));
  const Tensor heavy =
      random.rademacher({h, 1}, f64) *
      (std::sqrt(part) * basis[0] + std::sqrt(options.strength - part) * basis.slice(0, 1));
  return shuffled(random, torch::cat({light, heavy}), basis[0], n, with_default(options.tensor));
}

RowStream spike_stream(const SpikeStreamOptions& options) {
  check_at_least("cols", options.cols, 1);
  check_at_least("spikes", options.spikes, 1);
  check_at_least("noise", options.noise, 1);
  check_positive("strength", options.strength);
  RandomStream random(options.seed, stream_id("streams/spikes"));
  const auto f64 = torch::dtype(torch::kFloat64);
  const Tensor u = orthonormal(random, 1, options.cols)[0];
  const Tensor spikes = random.rademacher({options.spikes, 1}, f64) * u *
                        std::sqrt(options.strength / static_cast<double>(options.spikes));
  const Tensor noise = random.normal({options.noise, options.cols}, f64)
                           .div_(std::sqrt(static_cast<double>(options.noise)));
  const auto tensor = with_default(options.tensor);
  if (options.order == "spikes-first") return {torch::cat({spikes, noise}).to(tensor), u};
  if (options.order == "spikes-last") return {torch::cat({noise, spikes}).to(tensor), u};
  if (options.order != "random")
    throw InvalidArgument("order", "random, spikes-first or spikes-last", options.order);
  const Tensor all = torch::cat({spikes, noise});
  return shuffled(random, all, u, all.size(0), tensor);
}

RowStream oja_hard(const OjaHardOptions& options) {
  const int64_t d = options.cols, n = d - 1;
  check_at_least("cols", d, 2);
  check_positive("gap", options.gap);
  RandomStream random(options.seed, stream_id("streams/oja-hard"));
  const auto f64 = torch::dtype(torch::kFloat64);
  const Tensor rows = torch::zeros({n, d}, f64);
  rows.slice(1, 1).copy_(torch::eye(n, f64).index_select(0, random.permutation(n)));
  rows.select(1, 0).fill_(std::sqrt(options.gap / static_cast<double>(n)));
  Tensor v = torch::full({d}, 1 / std::sqrt(static_cast<double>(n)), f64);
  v[0] = std::sqrt(options.gap);
  return {rows.to(with_default(options.tensor)), v / v.norm()};
}

RowStream hidden_row(const HiddenRowOptions& options) {
  const int64_t d = options.cols, h = options.heavy, half = d / 2;
  check_at_least("cols", d, 2);
  check_at_least("heavy", h, 1);
  check_at_least("copies", options.copies, 1);
  check_positive("gap", options.gap);
  check_positive("strength", options.strength);
  RandomStream random(options.seed, stream_id("streams/hidden-row"));
  const auto f64 = torch::dtype(torch::kFloat64);
  const Tensor heavy =
      random.rademacher({h, d}, f64).mul_(options.strength / std::sqrt(static_cast<double>(d)));
  const Tensor known = heavy[0].clone();
  known.slice(0, half).zero_();
  const Tensor copy = known / known.norm() * options.strength *
                      std::sqrt(options.gap / static_cast<double>(options.copies));
  const Tensor rows = torch::cat({copy.expand({options.copies, d}), heavy});
  return shuffled(random, rows, exact_direction(rows).vector, options.copies,
                  with_default(options.tensor));
}

}  // namespace ritz::studies
