"""What the microscope's programs say of tilt series: ``.mdoc`` of SerialEM and Tomo5."""
