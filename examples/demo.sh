#!/usr/bin/env bash
# The main job from start to end, on a project with known truth: simulate two tilt series as
# IMOD and CTFFIND leave them, import them, look at them, check them. Needs `tomoset` on PATH.
set -euo pipefail

project=demo_project

say() { printf '\n== %s\n' "$*"; }
run() { printf '$ %s\n' "$*"; "$@"; }

say "1. Two tilt series of gold beads in ice, as IMOD and CTFFIND leave them"
run tomoset simulate "$project" --overwrite --shift-error 2 --rotation-error 0.15 --specks 6000

say "2. Their alignment, defocus and doses, as one tomogram set that RELION reads"
run tomoset import imod "$project/TS_01" "$project/TS_02" -o "$project/tomograms.star" \
  --angpix 5.4 --fd 3

say "3. What is in the set"
run tomoset info "$project/tomograms.star"

say "4. Whether anything is wrong with it"
run tomoset check "$project/tomograms.star"

say "5. Its gold beads, in space and in every image"
run tomoset find-fiducials "$project/tomograms.star" --o "$project/Fiducials"

say "6. The alignment fitted to them"
run tomoset align fiducials "$project/Fiducials/tomograms.star" --o "$project/Aligned"

say "7. The sign of defocus against depth, from the Thon rings of the images"
run tomoset hand "$project/Aligned/tomograms.star" --o "$project/Hand" --apply

say "8. Tomograms, with a picture beside each"
run tomoset reconstruct "$project/Hand/tomograms.star" --o "$project/Tomograms" --bin 2

say "9. Another series, of molecules, aligned by them"
run tomoset simulate "$project/Molecules" --series 1 --format relion4 --tilts 21 \
  --size 320 300 160 --beads 0 --molecules 40 --shift-error 1.5 --rotation-error 0.1
(
  cd "$project/Molecules"
  run tomoset align particles --i optimisation_set.star --b 80 --r 10 --o Aligned
)

say "Done. What there is now"
cat <<END
$project/TS_01, TS_02      the tilt series, as IMOD and CTFFIND leave them
$project/tilt_series.star  RELION's import table of them
$project/tomograms.star    the tomogram set; RELION goes on from here
$project/culled/TS_02.mrc  the images of TS_02 without the excluded views
$project/Fiducials         the beads, pictures of them, and the set that names them
$project/Aligned           the set as aligned by them, with what is to be known of it
$project/Hand              the odds of each hand, pictures, and the set that has it
$project/Tomograms         the tomograms, pictures of them, and the set that names them
$project/Molecules         a project of molecules; in Aligned/ the set as aligned by them
$project/truth             where every bead really is, and how every image was taken
END
