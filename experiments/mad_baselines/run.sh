# Every run of the study; the same command goes on where it was interrupted. $1: the run folder.
cd "$(dirname "$0")/../.."
own=experiments/mad_baselines/genomes
OMP_NUM_THREADS=1 exec nice -n 15 python -m star.mad \
    "genome=[transformer_pp,mamba,hyena,$own/lfm2_pair.yaml,$own/gated_delta.yaml]" \
    preset=baseline optimizer=muon steps=200 batch_size=16 \
    'learning_rates=[0.003]' 'weight_decays=[0.1]' 'seeds=[0,1,2]' "run_dir=$1"
