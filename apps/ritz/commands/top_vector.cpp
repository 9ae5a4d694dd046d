#include "apps/ritz/commands/top_vector.h"

#include <torch/types.h>

#include <nlohmann/json.hpp>
#include <ostream>

#include "apps/ritz/frame/run.h"
#include "apps/ritz/frame/tensor_run.h"
#include "ritz/base/interrupt.h"
#include "ritz/base/progress.h"
#include "ritz/dist/sharded_sum.h"
#include "ritz/io/array_file.h"
#include "ritz/io/tensor.h"
#include "ritz/rows/row_source.h"
#include "ritz/rows/top_vector.h"

namespace ritz::app {
namespace {

std::unique_ptr<rows::DirectionStream> make_stream(const TopVector& command,
                                                   const TopVectorMode& mode, int64_t expected,
                                                   const rows::StreamOptions& stream,
                                                   dist::ProcessGroup& group) {
  const int64_t k = command.block_width.value_or(0);
  if (mode.name == "heavy" || mode.name == "block-power") {
    const bool plain = mode.name == "block-power";
    return std::make_unique<rows::TopVector>(
        rows::TopVectorOptions{
            .heavy = plain ? 0 : command.heavy,
            .block_width = k,
            .schedule = command.equal_pieces() ? rows::Schedule::equal : rows::Schedule::geometric,
            .merge = command.merge == "rank1" ? rows::Merge::rank1 : rows::Merge::all,
            .theta = command.theta,
            .subsample = command.subsample,
            .rows = expected,
            .pieces = command.pieces,
            .stream = stream},
        &group);
  }
  if (mode.name == "oja-grid")
    return std::make_unique<rows::OjaGrid>(rows::OjaGridOptions{.stream = stream}, &group);
  if (group.world_size() > 1)
    throw Unsupported(
        format_error("--mode", "heavy, block-power or oja-grid over several ranks", command.mode));
  if (mode.name == "oja") {
    const auto decay = mode.decay == "t"      ? rows::Decay::inverse
                       : mode.decay == "sqrt" ? rows::Decay::inverse_root
                                              : rows::Decay::constant;
    return std::make_unique<rows::Oja>(rows::OjaOptions{
        .rates = {mode.rate.value_or(command.rate)}, .decay = decay, .stream = stream});
  }
  if (mode.name == "adaoja")
    return std::make_unique<rows::AdaOja>(
        rows::AdaOjaOptions{.block_width = k, .batch = command.batch, .stream = stream});
  if (mode.name == "history")
    return std::make_unique<rows::HistoryPca>(
        rows::HistoryPcaOptions{.block_width = k, .batch = command.batch, .stream = stream});
  if (mode.name == "frequent-directions")
    return std::make_unique<rows::FrequentDirections>(
        rows::FrequentDirectionsOptions{.rows = command.sketch_rows, .stream = stream});
  return std::make_unique<rows::Reservoir>(
      rows::ReservoirOptions{.rows = command.sketch_rows, .stream = stream});
}

Json status_of(const rows::Direction& found) {
  return found.status.names();
}

std::string joined(const std::vector<std::string>& words) {
  std::string text;
  for (const auto& word : words) text += (text.empty() ? "" : ", ") + word;
  return text;
}

std::string size_text(int64_t bits) {
  const double bytes = static_cast<double>(bits) / 8;
  if (bytes < 1e4) return short_text(bytes) + " bytes";
  return bytes < 1e7 ? short_text(bytes / 1e3) + " kB" : short_text(bytes / 1e6) + " MB";
}

// What a status asks of the reader.
void explain(Run& run, const rows::Direction& found) {
  auto& text = run.text();
  if (found.status.short_stream)
    text << "short_stream: too few rows to tell heavy ones from the rest; nothing is certified\n";
  if (found.status.heavy_overflow)
    text << "heavy_overflow: more heavy rows than were kept; take a larger --heavy\n";
  if (found.status.gap_small)
    text << "gap_small: another direction is as strong; the first one is not defined\n";
  if (found.status.no_growth)
    text << "no_growth: at no rate did the vector grow; the largest row is given\n";
}

}  // namespace

void TopVector::run(Run& run) const {
  if (!run.common.out.empty()) io::check_array_target(run.common.out, run.common.force);
  const auto parsed = *parse_top_vector_mode(mode);
  dist::ProcessGroup group = dist::ProcessGroup::from_environment();
  if (group.rank() != 0) run.be_silent();
  const bool by_columns = parsed.name == "oja-grid" && group.world_size() > 1;
  const auto source = rows::open_rows(path, {.raw = raw,
                                             .columns = columns,
                                             .rank = by_columns ? 0 : group.rank(),
                                             .world_size = by_columns ? 1 : group.world_size()});
  const auto shard = by_columns ? dist::shard_of(source->cols(), group.rank(), group.world_size())
                                : dist::Shard{0, source->cols()};
  const int64_t mine = source->end() < 0 ? rows : source->end() - source->begin();
  const auto stream = make_stream(*this, parsed, mine,
                                  {.seed = run.common.seed,
                                   .centre = centre,
                                   .skip_bad = skip_bad,
                                   .cols = shard.end - shard.begin,
                                   .first_row = source->begin()},
                                  group);
  Progress progress(run.shows_progress());
  rows::RowBatch batch;
  bool converted = false;
  int64_t arrived = 0;
  while (source->next(batch)) {
    progress.update("rows", arrived, mine > 0 ? mine : 0);
    check_interrupt("stopped after row " + std::to_string(arrived));
    arrived += batch.rows();
    const Tensor& values = batch.dense.defined() ? batch.dense : batch.sparse.values;
    converted = converted || source->dtype().find("int") != std::string::npos;
    const auto type = values.scalar_type();
    const auto options =
        tensor_options(run, type == torch::kFloat64 ? torch::kFloat64 : torch::kFloat32);
    if (batch.dense.defined()) {
      Tensor part = batch.dense.to(options);
      if (by_columns) part = part.slice(1, shard.begin, shard.end);
      stream->update(part);
    } else if (by_columns || !options.device().is_cpu()) {
      stream->update(batch.sparse.dense().to(options).slice(1, shard.begin, shard.end));
    } else {
      batch.sparse.values = values.to(options);
      stream->update(batch.sparse);
    }
  }
  const auto found = stream->result();
  progress.clear();
  if (group.rank() != 0) return;

  run.input(path, {source->rows() < 0 ? arrived : source->rows(), source->cols()}, source->dtype());
  if (converted) run.warn("integers", "integers were converted to floating point");
  Json& json = run.json();
  json["mode"] = mode;
  run.value("sigma1", found.sigma1, "the singular value");
  run.value("gap", found.gap, "sigma_1^2 / sigma_2^2, an estimate");
  run.value("n", found.n, "rows");
  run.value("d", found.d, "columns");
  run.value("skipped", found.skipped, "rows that were not finite");
  run.value("frobenius", found.frobenius, "root of all squares summed");
  run.value("h_est", found.h_est, "heavy rows");
  run.value("state_bits", found.state_bits, size_text(found.state_bits) + " at most were kept");
  run.value("workspace_bits", found.workspace_bits,
            size_text(found.workspace_bits) + " beside them, one batch");
  json["lambda_by_piece"] = found.lambda_by_piece;
  json["heavy_rows"] = found.heavy_rows;
  if (found.rate > 0) run.value("rate", found.rate, "the learning rate");
  json["status"] = status_of(found);
  run.text() << "status              " << joined(found.status.names()) << '\n';
  explain(run, found);
  if (found.order_not_random)
    run.warn("order_not_random",
             "later rows are unlike earlier ones: this mode needs rows in random order; shuffle "
             "them, or try --mode oja-grid");
  if (!run.common.out.empty())
    io::write_arrays(run.common.out, {io::to_array("vector", found.vector)},
                     {.force = run.common.force});
}

}  // namespace ritz::app
