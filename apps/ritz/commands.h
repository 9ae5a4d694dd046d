#pragma once
// Every command of the program, in the order of `ritz --help`. See frame/command.h for what a
// command is.
#include <tuple>

#include "apps/ritz/commands/completion.h"
#include "apps/ritz/commands/coreset.h"
#include "apps/ritz/commands/data_convert.h"
#include "apps/ritz/commands/data_fashion_mnist.h"
#include "apps/ritz/commands/data_info.h"
#include "apps/ritz/commands/data_make.h"
#include "apps/ritz/commands/data_make_dynamics.h"
#include "apps/ritz/commands/data_make_gradients.h"
#include "apps/ritz/commands/data_make_oscillators.h"
#include "apps/ritz/commands/data_make_rows.h"
#include "apps/ritz/commands/data_make_streams.h"
#include "apps/ritz/commands/design.h"
#include "apps/ritz/commands/fisher.h"
#include "apps/ritz/commands/koopman_forecast.h"
#include "apps/ritz/commands/koopman_measure.h"
#include "apps/ritz/commands/koopman_mixing.h"
#include "apps/ritz/commands/koopman_model.h"
#include "apps/ritz/commands/koopman_spectrum.h"
#include "apps/ritz/commands/prune.h"
#include "apps/ritz/commands/sequence.h"
#include "apps/ritz/commands/sequence_predict.h"
#include "apps/ritz/commands/sequence_train.h"
#include "apps/ritz/commands/spectrum.h"
#include "apps/ritz/commands/spectrum_scaling.h"
#include "apps/ritz/commands/study.h"
#include "apps/ritz/commands/top_vector.h"
#include "apps/ritz/commands/train.h"

namespace ritz::app {

using Commands =
    std::tuple<DataInfo, DataConvert, DataFashionMnist, MakeSpikedWigner, MakeSpikedWishart,  //
               MakeBlockLeverage, MakeMomentBlocks, MakeParetoRows, MakeGaussianRows,
               MakeLegendreRows, MakeRobustRegression, MakeDesignValues, MakeGradientRows,  //
               MakeHeavyRows, MakeSpikeStream, MakeOjaHard, MakeHiddenRow,                  //
               MakeDuffing, MakeLorenz, MakeRossler, MakeCatMap, MakeTorusSkew, MakeDiscPair,
               MakeIntervalPair, MakeSeasonalField, MakeTwoOscillators,  //
               Train, Prune, Spectrum, SpectrumScaling, FisherIhvp, FisherDiag, FisherColumns,
               FisherElements, FisherSpectrumCommand, TopVector, Coreset, CoresetMerge, DesignPlan,
               DesignPoints, DesignFit,  //
               KoopmanSpectrum, KoopmanMeasure, KoopmanMixing, KoopmanForecast, KoopmanTrain,
               KoopmanEncode, KoopmanControl,  //
               SequenceInit, SequenceDiagonalise, SequenceTransfer, SequenceTrain,
               SequencePredict,  //
               Study, Completion>;

/// Words that only group commands.
struct Group {
  std::string_view name, summary;
};
inline constexpr Group kGroups[] = {
    {"data", "generate, convert or inspect data"},
    {"data make", "data whose truth is known, for studies and trials"},
    {"design", "points for an expensive function, and its least-squares fit"},
    {"fisher", "the inverse of an empirical Fisher matrix, out of gradients"},
    {"koopman", "spectra, forecasts and models of dynamical systems, out of snapshots"},
    {"sequence", "state-space models of long sequences: initialisations, training, prediction"}};

template <typename C>
constexpr bool kRunsWithoutTorch = requires {
  C::kWithoutTorch;
};

}  // namespace ritz::app
