// Forecasts side by side: the same starts, the same choice of settings for all.
#include <torch/types.h>

#include <cmath>
#include <limits>

#include "ritz/base/error.h"
#include "ritz/koopman/forecast.h"
#include "ritz/koopman/kernel_forecast.h"
#include "studies/koopman_limits/parts.h"

namespace ritz::studies::koopman_limits {
namespace {

using Forecast = std::function<Tensor(const Tensor&, int64_t)>;

// The same on what the seasonal mean leaves.
Forecast deseasoned(const Forecast& plain, int64_t season) {
  return [=](const Tensor& history, int64_t horizon) {
    const int64_t T = history.size(1);
    const Tensor means = koopman::seasonal_means(history, season);
    return plain(history - koopman::seasonal_part(means, 0, T), horizon) +
           koopman::seasonal_part(means, T, horizon);
  };
}

double square_error(const Tensor& told, const Tensor& truth) {
  const double error = (told - truth).square().mean().item<double>();
  return std::isfinite(error) ? error : std::numeric_limits<double>::infinity();
}

}  // namespace

std::vector<double> numbers(const Tensor& values) {
  const Tensor plain = values.to(torch::kCPU, torch::kFloat64).contiguous();
  return {plain.const_data_ptr<double>(), plain.const_data_ptr<double>() + plain.numel()};
}

std::vector<Contestant> contestants(int64_t season, const std::vector<int64_t>& delays,
                                    const std::vector<int64_t>& ranks, int64_t sections) {
  std::vector<Contestant> all = {
      {"persistence",
       {{"", [](const Tensor& x, int64_t H) { return koopman::forecast_persistence(x, H); }}}},
      {"climatology", {{"", [=](const Tensor& x, int64_t H) {
                          return koopman::forecast_climatology(x, H, season);
                        }}}}};
  const auto add = [&](Contestant& to, const std::string& name, const Forecast& forecast) {
    to.settings.push_back({name, forecast});
    if (season > 1)
      to.settings.push_back({name + ", seasonal mean taken away", deseasoned(forecast, season)});
  };
  Contestant ar{"autoregression", {}}, dmd{"DMD", {}}, kernel{"kernel EDMD", {}},
      verified{"verified", {}};
  add(ar, "order by AIC",
      [](const Tensor& x, int64_t H) { return koopman::forecast_autoregression(x, H); });
  std::vector<int64_t> windows = delays;
  windows.insert(windows.begin(), 1);  // plain DMD
  for (const int64_t q : windows) {
    for (const int64_t r : ranks)
      add(dmd, std::to_string(q) + " delays, rank " + (r == 0 ? "by threshold" : std::to_string(r)),
          [=](const Tensor& x, int64_t H) {
            const int64_t most = std::min(q * x.size(2), x.size(1) - q);
            return koopman::forecast_dmd(x, H, {.delays = q, .rank = std::min(r, most)});
          });
  }
  for (const int64_t q : delays)
    for (const bool plain : {true, false})
      add(plain ? kernel : verified, std::to_string(q) + " delays",
          [=](const Tensor& x, int64_t H) {
            return koopman::forecast_kernel(x, H,
                                            {.delays = q, .size = sections, .all_modes = plain})
                .values;
          });
  for (auto* one : {&ar, &dmd, &kernel, &verified}) all.push_back(*one);
  return all;
}

const double& Race::of(const std::string& name) const {
  for (size_t k = 0; k < names.size(); ++k)
    if (names[k] == name) return total[k];
  throw InvalidArgument("contestant", "one of the race", name);
}

Race race(const Tensor& series, const std::vector<Contestant>& all,
          const std::vector<int64_t>& tuning, const std::vector<int64_t>& starts, int64_t horizon,
          const std::function<void(int64_t done, int64_t total)>& progress) {
  Race out;
  int64_t total = 0, done = 0;
  for (const auto& one : all)
    total += static_cast<int64_t>(one.settings.size() * tuning.size() + starts.size());
  const auto told = [&](const Setting& setting, int64_t start) {
    progress(done++, total);
    return setting.forecast(series.slice(0, 0, start).unsqueeze(0), horizon)[0];
  };
  const auto truth = [&](int64_t start) { return series.slice(0, start, start + horizon); };
  for (const auto& one : all) {
    size_t best = 0;
    double least = std::numeric_limits<double>::infinity();
    for (size_t k = 0; one.settings.size() > 1 && k < one.settings.size(); ++k) {
      double error = 0;
      for (const int64_t start : tuning) {
        error += square_error(told(one.settings[k], start), truth(start));
        if (!(error < least)) break;  // it cannot win any more
      }
      if (error < least) {
        least = error;
        best = k;
      }
    }
    Tensor square = torch::zeros({horizon}, torch::kFloat64);
    for (const int64_t start : starts)
      square +=
          (told(one.settings[best], start) - truth(start)).square().mean(1).to(torch::kFloat64);
    square /= static_cast<double>(starts.size());
    out.names.push_back(one.name);
    out.chosen.push_back(one.settings[best].name);
    out.error.push_back(numbers(square.sqrt()));
    const double mean = square.mean().item<double>();
    out.total.push_back(std::isfinite(mean) ? std::sqrt(mean)
                                            : std::numeric_limits<double>::infinity());
  }
  return out;
}

std::vector<int64_t> even_starts(int64_t first, int64_t last, int64_t count) {
  std::vector<int64_t> out;
  for (int64_t k = 0; k < count; ++k)
    out.push_back(count == 1 ? first : first + (last - first) * k / (count - 1));
  return out;
}

}  // namespace ritz::studies::koopman_limits
