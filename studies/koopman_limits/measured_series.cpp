// R: measured series. Which eigenvalues of Hankel EDMD are verified on held-out data, and how good
// forecasts of the held-out tail are beside persistence, climatology and DMD.
#include <torch/types.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <limits>
#include <map>

#include "ritz/base/error.h"
#include "ritz/io/array_file.h"
#include "ritz/io/tensor.h"
#include "ritz/koopman/edmd.h"
#include "ritz/koopman/holdout.h"
#include "studies/koopman_limits/parts.h"

namespace ritz::studies::koopman_limits {
namespace {

struct Source {
  std::string id, name, file, column, what;
  int64_t season = 0;   // in samples; 0: the first peak of the training part's autocorrelation
  int64_t horizon = 0;  // of forecasts
};

Tensor column_of(const std::string& path, const std::string& name) {
  return io::to_tensor(io::read_array(name.empty() ? path : path + ":" + name)).to(torch::kFloat64);
}

/// Weekly values with gaps and dates yyyymmdd -> means of calendar months; months without any are
/// interpolated.
Tensor monthly(const std::string& path) {
  const Tensor date = column_of(path, "date"), value = column_of(path, "co2");
  std::map<int64_t, std::pair<double, double>> months;  // sum and count by 12 year + month
  for (int64_t k = 0; k < date.size(0); ++k) {
    const auto day = static_cast<int64_t>(date[k].item<double>());
    const double v = value[k].item<double>();
    auto& [sum, count] = months[day / 10000 * 12 + day / 100 % 100 - 1];
    if (std::isfinite(v)) {
      sum += v;
      count += 1;
    }
  }
  std::vector<double> out;
  const int64_t first = months.begin()->first, last = months.rbegin()->first;
  for (int64_t m = first; m <= last; ++m) {
    const auto at = months.find(m);
    const bool known = at != months.end() && at->second.second > 0;
    out.push_back(known ? at->second.first / at->second.second
                        : std::numeric_limits<double>::quiet_NaN());
  }
  for (size_t k = 0; k < out.size(); ++k) {
    if (std::isfinite(out[k])) continue;
    size_t a = k, b = k;
    while (a > 0 && !std::isfinite(out[a])) --a;
    while (b + 1 < out.size() && !std::isfinite(out[b])) ++b;
    if (!std::isfinite(out[a]) || !std::isfinite(out[b]))
      throw DataError("co2", "a value in the first and the last month", "none", path);
    out[k] = out[a] + (out[b] - out[a]) * static_cast<double>(k - a) / static_cast<double>(b - a);
  }
  return torch::tensor(out, torch::kFloat64);
}

Tensor load(const Source& source, const std::string& path) {
  if (source.name == "co2") return monthly(path);
  const Tensor values = column_of(path, source.column);
  return values.dim() == 2 ? values.select(1, 4).contiguous() : values;  // Nino-3's fifth column
}

/// The lag of the first local maximum of the autocorrelation above .2.
int64_t first_peak(const Tensor& x) {
  const Tensor y = x - x.mean();
  const int64_t n = y.size(0);
  const auto a = [&](int64_t lag) {
    return (y.slice(0, lag) * y.slice(0, 0, n - lag)).sum().item<double>() /
           y.square().sum().item<double>();
  };
  bool fell = false;  // below zero or a first minimum: noise on the first decline is no peak
  for (int64_t lag = 2; lag < n / 2; ++lag) {
    fell = fell || a(lag) < 0.1;
    if (fell && a(lag) > .2 && a(lag) > a(lag - 1) && a(lag) >= a(lag + 1)) return lag;
  }
  return 0;
}

struct Flags {
  int64_t pairs = 0, verified = 0;
  double largest_training = 0, largest_holdout = 0;
};

/// Hankel EDMD on the first three quarters, residuals on the last; the mean is taken away.
Flags flag(const Tensor& x, int64_t train, int64_t delays, io::Figure& figure) {
  const Tensor centred = x - x.slice(0, 0, train).mean();
  const auto parts =
      koopman::split(koopman::trajectories(centred),
                     1 - static_cast<double>(train) / static_cast<double>(x.size(0)));
  const auto lift = koopman::make_lift({.name = "delay", .size = delays}, parts.train);
  const auto fit = koopman::reduce(*lift.functions, lift.prepare(parts.train));
  const auto pairs = koopman::edmd(fit);
  const auto held = koopman::holdout_residuals(
      *lift.functions, fit.kept, lift.prepare(parts.holdout), pairs.values, pairs.vectors);
  Flags out{.pairs = pairs.values.size(0)};
  io::Curve good{.label = "verified", .style = io::Style::points},
      bad{.label = "not verified", .style = io::Style::points};
  for (int64_t k = 0; k < out.pairs; ++k) {
    const auto z = pairs.values[k].item<c10::complex<double>>();
    const bool verified = held.upper[k].item<double>() <= .05;
    out.verified += verified;
    auto& curve = verified ? good : bad;
    curve.x.push_back(z.real());
    curve.y.push_back(z.imag());
  }
  out.largest_training = pairs.residuals.max().item<double>();
  out.largest_holdout = held.residuals.max().item<double>();
  const Tensor arc = torch::linspace(0, 2 * M_PI, 181, torch::kFloat64);
  figure.curves.push_back(
      {.x = numbers(torch::cos(arc)), .y = numbers(torch::sin(arc)), .style = io::Style::guide});
  for (auto& curve : {good, bad})
    if (!curve.x.empty()) figure.curves.push_back(curve);
  return out;
}

void judge(const StudyContext& context, const Source& source, StudyResult& result) {
  const std::string folder = context.data.empty() ? "out/data" : context.data;
  const auto path = (std::filesystem::path(folder) / source.file).string();
  Claim claim{.id = source.id,
              .claim = source.what + ": verified modes forecast the held-out tail better",
              .baseline =
                  "persistence, seasonal climatology, DMD; beside them autoregression and "
                  "kernel EDMD with all modes; settings chosen on starts before the tail",
              .criterion =
                  "root mean square error over all leads: below persistence, climatology "
                  "and DMD (the sheet has no mark for measured series)"};
  if (!std::filesystem::exists(path)) {
    claim.note = path + " is not there; `./dev data` fetches it (or name its folder with --data)";
    result.claims.push_back(claim);
    return;
  }
  const bool quick = context.scale == Scale::quick;
  const Tensor x = load(source, path);
  const int64_t T = x.size(0), train = T * 3 / 4;
  const int64_t season = source.season > 0 ? source.season : first_peak(x.slice(0, 0, train));
  const int64_t horizon = source.horizon > 0 ? source.horizon : season;

  io::Figure circle{.title = source.what + ": eigenvalues of Hankel EDMD",
                    .x = {.label = "Re"},
                    .y = {.label = "Im"}};
  const int64_t delays = std::min<int64_t>(24, train / 8);
  const auto flags = flag(x, train, delays, circle);

  std::vector<int64_t> windows;
  for (const int64_t q : quick ? std::vector<int64_t>{12} : std::vector<int64_t>{12, 24, 48})
    if (q <= train / 6) windows.push_back(q);
  const auto all = contestants(season, windows,
                               quick ? std::vector<int64_t>{0} : std::vector<int64_t>{0, 4, 8, 16},
                               quick ? 40 : 100);
  const int64_t last = train - horizon;
  const auto found = race(
      x.unsqueeze(1), all, even_starts(std::max(season + 2, last * 3 / 4), last, quick ? 1 : 3),
      even_starts(train, T - horizon, quick ? 2 : 6), horizon, [&](int64_t done, int64_t total) {
        context.progress(source.id + ", " + source.name, done, total);
      });
  claim.holds = found.of("verified") < found.of("persistence") &&
                found.of("verified") < found.of("climatology") &&
                found.of("verified") < found.of("DMD");
  const double spread = x.slice(0, train).std().item<double>();
  Series series{.name = source.name};
  const std::vector<double> lead = numbers(torch::arange(1, horizon + 1, torch::kFloat64));
  series.columns.emplace_back("lead", lead);
  io::Figure figure{.title = source.what + ": forecast error",
                    .x = {.label = "steps ahead"},
                    .y = {.label = "root mean square error", .min = 0}};
  for (size_t k = 0; k < all.size(); ++k) {
    claim.measured.emplace_back(all[k].name, found.total[k]);
    series.columns.emplace_back(all[k].name, found.error[k]);
    figure.curves.push_back({.label = all[k].name, .x = lead, .y = found.error[k]});
    if (!found.chosen[k].empty())
      claim.note +=
          (claim.note.empty() ? "settings chosen: " : "; ") + all[k].name + ": " + found.chosen[k];
  }
  claim.measured.emplace_back("deviation of the tail", spread);
  claim.measured.emplace_back("season", static_cast<double>(season));
  claim.measured.emplace_back("horizon", static_cast<double>(horizon));
  claim.measured.emplace_back("eigenvalues of Hankel EDMD", static_cast<double>(flags.pairs));
  claim.measured.emplace_back("of them verified (upper residual <= .05)",
                              static_cast<double>(flags.verified));
  claim.measured.emplace_back("largest training residual", flags.largest_training);
  claim.measured.emplace_back("largest hold-out residual", flags.largest_holdout);
  result.claims.push_back(claim);
  result.series.push_back(series);
  result.figures.push_back({.name = source.name,
                            .caption = "Mean over starts in the last quarter, which nothing was "
                                       "fitted to or chosen by.",
                            .figure = figure});
  result.figures.push_back({.name = source.name + "_eigenvalues",
                            .caption =
                                "Those whose residual on the last quarter is at most .05 with "
                                "95 % confidence, and the others.",
                            .figure = circle});
}

}  // namespace

void measured_series(const StudyContext& context, StudyResult& result) {
  const std::vector<Source> sources = {
      {"R1", "ecg", "pywt/data/ecg.npz", "data", "Electrocardiogram", 0, 60},
      {"R2", "nino3", "pywt/data/sst_nino3.npz", "data", "Nino-3 sea temperature", 12, 24},
      {"R3", "sunspots", "statsmodels/datasets/sunspots/sunspots.csv", "SUNACTIVITY",
       "Sunspots a year", 11, 11},
      {"R4", "co2", "statsmodels/datasets/co2/co2.csv", "co2", "CO2 at Mauna Loa", 12, 24},
      {"R5", "pressure",
       "aeon/datasets/data/KDD-TSAD_135/135_UCR_Anomaly_InternalBleeding16_TRAIN.csv", "value",
       "Arterial pressure", 0, 60}};
  for (const auto& source : sources) judge(context, source, result);
}

}  // namespace ritz::studies::koopman_limits
